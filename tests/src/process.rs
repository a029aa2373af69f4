//! Child processes that do not outlive the test.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// A child process; killed when dropped, and by the kernel if the test dies without dropping anything.
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts `command`, with its output going where it says, or nowhere.
    pub fn start(name: &str, command: &mut Command) -> Process {
        command.stdin(Stdio::null());
        die_with_parent(command);
        let child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Process { child, name: name.to_owned() }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Whether its id is in use: it runs, or has ended without being waited for.
    pub fn is_there(&self) -> bool {
        nix::sys::signal::kill(Pid::from_raw(self.id() as i32), None).is_ok()
    }

    /// Sends a signal.
    pub fn signal(&self, kind: Signal) {
        signal(self.id(), kind);
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for the end, at most for `patience`.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "{} did not end within {patience:?}", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self, patience: Duration) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait(patience)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a process that this test started.
pub fn signal(id: u32, kind: Signal) {
    nix::sys::signal::kill(Pid::from_raw(id as i32), kind).unwrap();
}

#[allow(unsafe_code)]
fn die_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe functions may be called. The closure makes one system
    // call (prctl) and allocates nothing.
    unsafe {
        command.pre_exec(|| {
            #[cfg(target_os = "linux")]
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            Ok(())
        });
    }
}

/// Takes the limit of open files of this process as far up as the system lets it.
pub fn open_as_many_files_as_allowed() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}
