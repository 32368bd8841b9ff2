//! What happens for each event and each answer, in fixed amounts, so that its instructions can be counted: by callgrind,
//! for `cargo xtask instructions`, which knows how many are expected (`instructions.toml`) and calls this program once for
//! each path.
//!
//! Counts instead of times: they are the same on a busy machine, and nearly the same on another one. What a path needs is
//! made outside of [`measured`], and done once before it, so that what happens once in a process does not count.

mod ingest;
mod processor;
mod published;
mod ranking;
mod trending;

use std::process::ExitCode;

/// A piece of work, and in how many of what its instructions are told.
struct Path {
    name: &'static str,
    unit: &'static str,
    /// Prepares, calls [`measured`] once, and gives the number of units that were done in it.
    run: fn() -> u64,
}

const PATHS: [&[Path]; 5] =
    [&ingest::PATHS, &processor::PATHS, &published::PATHS, &ranking::PATHS, &trending::PATHS];

const HELP: &str = "Usage: hot-paths [PATH]

Without a path, lists them all: name and unit of each. With one, does its work and prints how many units that was.
`cargo xtask instructions` builds this program and counts its instructions.";

/// What is done in here counts. Its name is what callgrind is told (`xtask/src/instructions.rs`).
#[inline(never)]
fn measured<T>(work: impl FnOnce() -> T) -> T {
    std::hint::black_box(work())
}

fn main() -> ExitCode {
    let mut paths = PATHS.into_iter().flatten();
    match std::env::args().nth(1).as_deref() {
        None => paths.for_each(|path| println!("{}\t{}", path.name, path.unit)),
        Some("-h" | "--help") => println!("{HELP}"),
        Some(name) => match paths.find(|path| path.name == name) {
            Some(path) => println!("{}", (path.run)()),
            None => {
                eprintln!("there is no path {name:?}\n\n{HELP}");
                return ExitCode::FAILURE;
            }
        },
    }
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_does_its_work() {
        for path in PATHS.into_iter().flatten() {
            assert!((path.run)() > 0, "{}", path.name);
        }
    }

    #[test]
    fn no_two_paths_share_a_name() {
        let mut names: Vec<&str> = PATHS.into_iter().flatten().map(|path| path.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }
}
