//! What a command takes: CPU, wall time and peak memory, as one line of JSON.
//!
//! ```text
//! measure TIMES STATUS COMMAND…    TIMES in a row, each of which is to end with STATUS; at another it ends
//! ```
//!
//! ```json
//! {"runs": 1, "status": 0, "cpu": 0.0012, "wall": 0.0014, "rss": 1929216}
//! ```
//!
//! CPU (user and system, of the command and all that it waited for) and wall time are seconds of all runs together, `rss` is in bytes and the largest of any
//! process. Standard input and output of the command are /dev/null; what it says of errors goes where this program's errors go. A signal is a status from
//! 128 on.
//!
//! The kernel counts what a process had in memory before it became the command, so no command seems to take less than who starts it: this
//! program has some 2 MiB, an interpreter 10 and more, and with each list that it keeps. That is why it exists.

use std::{
    env,
    ffi::OsString,
    os::unix::process::ExitStatusExt,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match run() {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("measure: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, Failure> {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let [times, wanted, program, rest @ ..] = &arguments[..] else {
        return Err("usage: measure TIMES STATUS COMMAND…".into());
    };
    let number = |text: &OsString| -> Result<i32, Failure> { Ok(text.to_str().ok_or("not a number")?.parse()?) };
    let (times, wanted) = (number(times)?, number(wanted)?);
    let (mut runs, mut status, mut wall) = (0, wanted, Duration::ZERO);
    while runs < times && status == wanted {
        let mut command = Command::new(program);
        command.args(rest).stdin(Stdio::null()).stdout(Stdio::null());
        let begin = Instant::now();
        let ended = command
            .status()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        wall += begin.elapsed();
        status = ended.code().unwrap_or(128 + ended.signal().unwrap_or(0));
        runs += 1;
    }
    let usage = usage::of_children()?;
    Ok(format!(
        r#"{{"runs": {runs}, "status": {status}, "cpu": {:.6}, "wall": {:.6}, "rss": {}}}"#,
        usage.cpu.as_secs_f64(),
        wall.as_secs_f64(),
        usage.rss,
    ))
}

/// What the kernel says of children that were waited for: getrusage(2), which neither the standard library nor rustix has.
mod usage {
    use std::{ffi::c_long, io, mem::MaybeUninit, time::Duration};

    const RUSAGE_CHILDREN: i32 = -1;

    pub(super) struct Usage {
        pub(super) cpu: Duration,
        /// Bytes that the largest of them had in memory.
        pub(super) rss: u64,
    }

    #[repr(C)]
    struct Time {
        seconds: c_long,
        microseconds: c_long,
    }

    /// `struct rusage` of 64-bit Linux.
    #[repr(C)]
    struct Raw {
        user: Time,
        system: Time,
        /// In KiB.
        largest: c_long,
        /// From `ru_ixrss` on: not asked for.
        others: [c_long; 13],
    }

    #[allow(
        unsafe_code,
        reason = "getrusage(2), of the C library that the standard library stands on"
    )]
    unsafe extern "C" {
        fn getrusage(who: i32, usage: *mut Raw) -> i32;
    }

    pub(super) fn of_children() -> io::Result<Usage> {
        let mut raw = MaybeUninit::<Raw>::zeroed();
        #[allow(unsafe_code, reason = "it writes one `struct rusage`, for which there is room")]
        let done = unsafe { getrusage(RUSAGE_CHILDREN, raw.as_mut_ptr()) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        #[allow(unsafe_code, reason = "integers, which were zero before they were written")]
        let Raw {
            user, system, largest, ..
        } = unsafe { raw.assume_init() };
        let duration = |time: Time| {
            Duration::from_secs(time.seconds.unsigned_abs()) + Duration::from_micros(time.microseconds.unsigned_abs())
        };
        Ok(Usage {
            cpu: duration(user) + duration(system),
            rss: largest.unsigned_abs() << 10,
        })
    }
}
