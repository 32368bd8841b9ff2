use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a line is printed where no bar can be drawn.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows how far a replay is, on standard error: a bar on a terminal, else a line now and then.
pub(super) struct Progress {
    bar: ProgressBar,
    lines: bool,
    bytes: u64,
    begun: Instant,
    next_line: Instant,
}

impl Progress {
    /// Of a file of `bytes`; says nothing at all unless `shown`.
    pub fn new(bytes: u64, shown: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target =
            if shown && terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{bar:30} {percent:>3}%  {elapsed}  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(bytes), target).with_style(style);
        let begun = Instant::now();
        Self { bar, lines: shown && !terminal, bytes, begun, next_line: begun + LINE_EVERY }
    }

    /// Says something once, above the bar.
    pub fn note(&self, text: &str) {
        if self.lines {
            eprintln!("{text}");
        } else {
            self.bar.println(text);
        }
    }

    /// `rows` are done, of which `resumed` in earlier runs; `trouble` is why nothing moves at the moment.
    pub fn update(&mut self, read: u64, rows: u64, resumed: u64, trouble: Option<&str>) {
        let rate = (rows - resumed) as f64 / self.begun.elapsed().as_secs_f64().max(1e-3);
        let message = match trouble {
            None => format!("{rows} rows, {rate:.0} events/s"),
            Some(reason) => format!("{rows} rows, trying again: {reason}"),
        };
        if self.lines && Instant::now() >= self.next_line {
            self.next_line = Instant::now() + LINE_EVERY;
            eprintln!("{:>3}%  {message}", (read * 100).checked_div(self.bytes).unwrap_or(100));
        }
        self.bar.set_position(read);
        self.bar.set_message(message);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
