//! The `shopsmart` program: see the library for what it does.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use shopsmart::cli::{self, Cli, MISUSED};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing can be done about a closed terminal.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(MISUSED) } else { ExitCode::SUCCESS };
        }
    };
    match cli::run(cli).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("shopsmart: {error:#}");
            ExitCode::FAILURE
        }
    }
}
