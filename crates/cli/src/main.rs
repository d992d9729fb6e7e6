//! What did the user mean? `teu` reads the command line and the environment, and has the libraries do the rest.
//!
//! `fuzz/src/main.rs` has some of these files as its own, by their paths: `arguments`, `failure`, `say`, `template` and `yaml`. Whoever moves one of
//! them, or has it ask another, sees to that too.

mod arguments;
mod beside;
mod called;
mod drop_in;
mod failure;
mod flags;
mod inside;
mod limits;
mod listed;
mod output;
mod places;
mod progress;
mod recompressed;
mod say;
mod screen;
mod settings;
mod template;
mod terminal;
mod threads;
mod verbs;
mod yaml;

use std::{ffi::OsString, io, process::ExitCode, sync::Arc};

use arguments::Teu;
use clap::Command;
use failure::Failure;
use settings::Settings;
use threads::{Begins, Runtimes};
use verbs::config::Unread;

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let as_registry = drop_in::is_called(arguments.first().map(OsString::as_os_str));
    if as_registry {
        match drop_in::read(&arguments, settings::registry_configuration()) {
            drop_in::Asked::Line(line) => arguments = line,
            other => return other.say(),
        }
    }
    let as_skopeo = called::as_skopeo(arguments.first().map(OsString::as_os_str));
    let called = |command| if as_skopeo { called::renamed(command) } else { command };
    let asked = match arguments::at_once(&arguments, called) {
        Some(asked) => asked.map_err(Unread::Line),
        None => read(&mut arguments, called),
    };
    let teu = match asked {
        Ok(teu) => teu,
        Err(Unread::Line(error)) => return called::answer(&error, as_skopeo),
        Err(Unread::File(failure)) => {
            let code = failure.report(as_skopeo);
            return if as_registry { ExitCode::FAILURE } else { code };
        }
    };
    let settings = Arc::new(Settings::read(&teu.global, as_skopeo));
    let compares = matches!(teu.verb, arguments::Verb::Diff(_));
    // Its directories are no images.
    let hints = !as_skopeo && !matches!(teu.verb, arguments::Verb::Serve(_));
    let outcome = run(teu, &settings);
    // Whatever ended the work, what is said next is said where it can be read.
    screen::give_back();
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            let failure = flags::named(failure, &called(arguments::command()), &arguments);
            let code = match compares {
                true => failure.report_trouble(as_skopeo),
                false => failure.report(as_skopeo),
            };
            if let Some(hint) = places::hint(&arguments, &failure).filter(|_| hints) {
                say::complain(as_skopeo, &hint);
            }
            code
        }
    }
}

/// What a command line says of which there is more to know than what it says itself: help, a mistake, files.
fn read(arguments: &mut Vec<OsString>, called: impl FnOnce(Command) -> Command) -> Result<Teu, Unread> {
    let mut command = arguments::command();
    if asks_for_help(arguments) {
        command = arguments::shown(command);
    }
    command = called(command);
    *arguments = called::plain(&command, std::mem::take(arguments));
    verbs::config::parse(&mut command, arguments.clone())
}

/// Whether help may be what is wanted; without a doubt it is not where a verb has something to do.
fn asks_for_help(arguments: &[OsString]) -> bool {
    let asks = |argument: &OsString| ["help", "-h", "--help"].iter().any(|word| argument == word);
    arguments.len() < 3 || arguments.iter().any(asks)
}

fn run(teu: Teu, settings: &Arc<Settings>) -> Result<ExitCode, Failure> {
    if settings.as_skopeo {
        called::check_names(&teu.verb)?;
    }
    let failed = |error: io::Error| Failure::Store(error.into());
    let mut runtimes = Runtimes::new(settings.threads.clone()).map_err(failed)?;
    let limit = teu.global.command_timeout;
    // Nobody hears signals on the first thread. They end a process nevertheless, but not the first one of a container: from it the kernel keeps those
    // that it does not ask for (pid_namespaces(7)).
    let is_ended_by_signals = std::process::id() != 1;
    let begins = match is_ended_by_signals && limit.is_none() {
        true => verbs::begins(&teu.verb),
        false => Begins::Several,
    };
    // A server stops by itself when it is told to.
    let serves = matches!(&teu.verb, arguments::Verb::Serve(serve) if serve.tend.is_none());
    let cut = async {
        tokio::select! {
            signal = async { stopped().await }, if !serves => Err(Failure::Stopped { signal }),
            () = expired(limit) => Err(Failure::TimedOut),
        }
    };
    let work = Box::pin(verbs::run(teu.verb, Arc::clone(settings)));
    let outcome = runtimes.run(work, cut, begins).map_err(failed)?;
    let was_cut = matches!(outcome, Err(Failure::Stopped { .. } | Failure::TimedOut));
    if was_cut {
        settings.stop.request();
        let stop = settings.stop.clone();
        // A tree that was half made is removed, unless the user has no patience for that either.
        runtimes.wait(async {
            tokio::select! {
                _ = tokio::task::spawn_blocking(move || stop.wait()) => {}
                _ = stopped() => {}
            }
        });
    }
    runtimes.end(was_cut);
    outcome
}

/// Waits until the user or the system wants an end; the number of the signal. It is waited for from this call on.
pub(crate) fn stopped() -> impl Future<Output = u8> {
    use tokio::signal::unix::{Signal, SignalKind, signal};
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let wait = async |signal: io::Result<Signal>| match signal {
        Ok(mut signal) => {
            signal.recv().await;
        }
        // It cannot be waited for, and does what it does by itself.
        Err(_) => std::future::pending().await,
    };
    async move {
        tokio::select! {
            () = wait(interrupt) => 2,
            () = wait(terminate) => 15,
        }
    }
}

async fn expired(limit: Option<arguments::Time>) {
    match limit {
        Some(arguments::Time(limit)) if !limit.is_zero() => tokio::time::sleep(limit).await,
        _ => std::future::pending().await,
    }
}
