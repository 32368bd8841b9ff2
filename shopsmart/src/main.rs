//! The `shopsmart` program: see the library for what it does.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use shopsmart::cli::{self, Cli};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::run(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("shopsmart: {error:#}");
            ExitCode::FAILURE
        }
    }
}
