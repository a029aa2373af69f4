//! How the program ends.

use std::fmt::Display;
use std::process::ExitCode;

/// The exit codes, the same for every verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Valid, or done.
    Ok = 0,
    /// Invalid, revoked, or not as declared.
    Invalid = 1,
    /// It cannot be told.
    Indeterminate = 2,
    /// The words on the command line, or in a configuration, are wrong.
    Usage = 3,
    /// Input, output, the broker, or a fault of this program.
    Io = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a verb could not be carried out.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for is wrong.
    Usage(String),
    /// An object that was given is not what it should be.
    Invalid(String),
    /// Something that it needs does not work.
    Io(String),
}

impl Failure {
    /// A wrong word, file or value.
    pub(crate) fn usage(why: impl Display) -> Failure {
        Failure::Usage(why.to_string())
    }

    /// An object that cannot be read, or does not verify.
    pub(crate) fn invalid(why: impl Display) -> Failure {
        Failure::Invalid(why.to_string())
    }

    /// Something that does not work.
    pub(crate) fn io(why: impl Display) -> Failure {
        Failure::Io(why.to_string())
    }

    /// The exit code that it leads to.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Failure::Usage(_) => Exit::Usage,
            Failure::Invalid(_) => Exit::Invalid,
            Failure::Io(_) => Exit::Io,
        }
    }

    /// In words.
    pub(crate) fn why(&self) -> &str {
        match self {
            Failure::Usage(why) | Failure::Invalid(why) | Failure::Io(why) => why,
        }
    }
}
