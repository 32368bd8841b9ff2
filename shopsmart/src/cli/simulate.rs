use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;

use crate::simulator::{Period, Shop, Size, write_csv};

#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// How many events
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    events: u64,
    /// How many shoppers may come
    #[arg(long, value_name = "U", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    users: u32,
    /// How many products are there from the start; one more is launched halfway
    #[arg(long, value_name = "P", default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    products: u32,
    /// About how many days the events span
    #[arg(long, value_name = "D", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    days: u32,
    /// When the first one happens
    #[arg(long, value_name = "TIME", default_value = "2025-01-01T00:00:00Z")]
    start: Timestamp,
    /// Equal seeds (and options) make equal files
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// The file to write; compressed when its name ends in .gz
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(args: SimulateArgs) -> Result<ExitCode> {
    let shop = Shop::new(args.seed, Size { products: args.products, shoppers: args.users });
    let period = Period { start_ms: args.start.as_millisecond(), days: args.days, events: args.events };
    write(Arc::new(shop), period, &args.out)
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    let SimulateArgs { events, users, products, days, out, .. } = args;
    println!(
        "{events} events of up to {users} shoppers and {products} products over {days} days are in {}.",
        out.display()
    );
    println!("Send them with: shopsmart replay {} --to http://127.0.0.1:8080", out.display());
    Ok(ExitCode::SUCCESS)
}

fn write(shop: Arc<Shop>, period: Period, path: &Path) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut gzip = GzEncoder::new(&mut file, Compression::default());
        write_csv(shop, period, &mut gzip)?;
        gzip.finish()?;
    } else {
        write_csv(shop, period, &mut file)?;
    }
    Ok(file.flush()?)
}
