//! A process of its own comes by a fail point. Run in both profiles: `make test`, and `make check` for release.

#![allow(missing_docs, clippy::unwrap_used)]

use std::process::{Command, Output};

use revocast_faults::fail_point;

#[test]
#[ignore = "run by the others as a process of its own"]
fn comes_by_three_times() {
    for _ in 0..3 {
        println!("before");
        fail_point!("worn-step");
    }
    fail_point!("said-only-here");
    println!("alive");
}

/// Runs the process that comes by, armed like this.
fn come_by(armed: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "comes_by_three_times", "--ignored", "--nocapture"])
        .env("REVOCAST_FAIL_AT", armed)
        .output()
        .unwrap()
}

fn said(output: &Output, word: &str) -> usize {
    String::from_utf8_lossy(&output.stdout).matches(word).count()
}

#[cfg(debug_assertions)]
#[test]
fn the_process_dies_where_it_is_told_to_and_not_before() {
    use std::os::unix::process::ExitStatusExt;
    const SIGABRT: i32 = 6;
    for (armed, passed) in [("worn-step", 1), ("worn-step:1", 1), ("worn-step:3", 3)] {
        let output = come_by(armed);
        assert_eq!(output.status.signal(), Some(SIGABRT), "{armed}: {output:?}");
        assert_eq!(said(&output, "before"), passed, "{armed}");
    }
}

#[test]
fn the_process_lives_when_it_is_told_nothing_of_the_kind() {
    for armed in ["", "another-step", "worn-step:4", "worn-step:0", "worn-step:x"] {
        let output = come_by(armed);
        assert!(output.status.success(), "{armed}: {output:?}");
        assert_eq!((said(&output, "before"), said(&output, "alive")), (3, 1), "{armed}");
    }
}

#[cfg(not(debug_assertions))]
#[test]
fn a_release_build_does_not_die() {
    assert_eq!(said(&come_by("worn-step"), "alive"), 1);
}

#[test]
fn a_fail_point_is_in_the_program_with_debug_assertions_and_not_a_word_of_it_without() {
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let bears = |words: &[&str]| {
        // Put together here, so that it is not in the program for being looked for.
        let sought = words.join("-").into_bytes();
        program.windows(sought.len()).any(|window| window == sought)
    };
    assert_eq!(bears(&["said", "only", "here"]), cfg!(debug_assertions));
}
