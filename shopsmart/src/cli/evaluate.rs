use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use evaluation::data::{SessionLog, name_of};
use evaluation::protocol::{self, OURS, Settings};
use evaluation::{Dataset, Report};
use indicatif::{ProgressBar, ProgressStyle};
use service_runtime::config::LogConfig;
use service_runtime::telemetry;

use crate::prequential;

/// What is learnt when, and what is predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// Learn the training sessions, then predict each next product of the test sessions
    Static,
    /// The same, learning each test event after predicting it; beside learning by the hour and by night
    Live,
    /// Predict each event of a log from its user's history, then learn it; beside learning by night
    Prequential,
    /// Learn a whole log, then find the purchase of each user that was taken out of it
    Heldout,
    /// Predict the first event of each session from what trends then, by each trending list
    ColdStart,
}

#[derive(Debug, Args)]
pub(super) struct EvaluateArgs {
    /// The protocol
    protocol: Protocol,
    /// Folder with sessions.csv or events.csv (each may end in .gz)
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Write the result to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only these, given once each; for protocols with baselines (`static`, `heldout`) [default: all]
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(protocol::algorithm_names()))]
    algorithm: Vec<String>,
    /// Ask and tell a pipeline that runs in this process over HTTP, too (for `prequential`)
    #[arg(long)]
    through_pipeline: bool,
    /// Clicks of a session before its first prediction [default: from the data: one less than usual sessions have at least]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    first_prefix: Option<u8>,
}

pub(super) async fn run(args: EvaluateArgs) -> Result<ExitCode> {
    let json = args.json.clone();
    let report = if args.through_pipeline {
        served(args).await?
    } else {
        // Minutes of pure computation: not on a thread that others wait for.
        tokio::task::spawn_blocking(move || evaluate(&args)).await.context("evaluate")??
    };
    if let Some(file) = json {
        let json = serde_json::to_string_pretty(&report).context("write the result as JSON")?;
        std::fs::write(&file, json + "\n").with_context(|| format!("write {}", file.display()))?;
    }
    println!("{report}");
    Ok(ExitCode::SUCCESS)
}

/// What serving answers, beside what the algorithm says.
async fn served(args: EvaluateArgs) -> Result<Report> {
    anyhow::ensure!(
        args.protocol == Protocol::Prequential,
        "--through-pipeline goes with `prequential` only"
    );
    let Dataset::Events(log) = Dataset::open(&args.data)? else {
        bail!("{}: this protocol needs users and kinds of events, so events.csv", args.data.display())
    };
    // The bar has the screen.
    telemetry::init_tracing(&LogConfig { filter: "warn,lsm_tree=error".to_owned(), ..LogConfig::default() });
    let bar = Bar::new();
    let name = name_of(&args.data);
    let served = prequential::through_pipeline(&log, |done, of| bar.show("served", done, of)).await?;
    let in_process = tokio::task::spawn_blocking(move || {
        let progress = |what: &str, done, of| bar.show(what, done, of);
        let settings = Settings { algorithms: Vec::new(), first_prefix: None, progress: &progress };
        let tallies = protocol::prequential_tallies(&log, &settings);
        bar.finish();
        tallies
    });
    let mut tallies = vec![("shopsmart, served".to_owned(), served)];
    tallies.extend(in_process.await.context("evaluate")?);
    Ok(Report::new("prequential", &name, &tallies))
}

fn evaluate(args: &EvaluateArgs) -> Result<Report> {
    let several = matches!(args.protocol, Protocol::Static | Protocol::Heldout);
    if !several && !args.algorithm.is_empty() {
        bail!("--algorithm chooses among baselines, which this protocol has none of: leave it out");
    }
    let dataset = Dataset::open(&args.data)?;
    let name = name_of(&args.data);
    let bar = Bar::new();
    let progress = |what: &str, done, of| bar.show(what, done, of);
    let settings = Settings {
        algorithms: args.algorithm.clone(),
        first_prefix: args.first_prefix.map(usize::from),
        progress: &progress,
    };
    let report = match (args.protocol, dataset) {
        (Protocol::Static, dataset) => {
            protocol::next_in_session(&sessions(dataset, &args.data)?, &name, &settings)
        }
        (Protocol::Live, dataset) => protocol::live(&sessions(dataset, &args.data)?, &name, &settings),
        (Protocol::Prequential, Dataset::Events(log)) => protocol::prequential(&log, &name, &settings),
        (Protocol::Heldout, Dataset::Events(log)) => protocol::heldout(log, &name, &settings)?,
        (Protocol::ColdStart, Dataset::Events(log)) => protocol::cold_start(&log, &name, &settings),
        (Protocol::Prequential | Protocol::Heldout | Protocol::ColdStart, Dataset::Sessions(_)) => {
            bail!("{}: this protocol needs users and kinds of events, so events.csv", args.data.display())
        }
    };
    bar.finish();
    if report.algorithms.iter().all(|row| row.name != OURS) && report.targets == 0 {
        bail!("{}: nothing could be predicted", args.data.display());
    }
    Ok(report)
}

fn sessions(dataset: Dataset, folder: &Path) -> Result<SessionLog> {
    match dataset {
        Dataset::Sessions(log) => Ok(log),
        Dataset::Events(log) => SessionLog::of_events(log).with_context(|| {
            format!(
                "{}: no session of two events or more begins in the last tenth of the log",
                folder.display()
            )
        }),
    }
}

/// One progress bar, for what runs at the moment; none where nobody watches.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(1) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{msg:24} {wide_bar} {percent:>3} % {elapsed}");
        bar.set_style(style.expect("the template is a constant"));
        Self(bar)
    }

    fn show(&self, what: &str, done: usize, of: usize) {
        self.0.set_length(of as u64);
        self.0.set_position(done as u64);
        self.0.set_message(what.to_owned());
    }

    fn finish(&self) {
        self.0.finish_and_clear();
    }
}
