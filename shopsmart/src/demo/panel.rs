//! What the demo shows while it runs: a panel that is drawn anew each second on a terminal, else a line each second.

use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use super::figures::Freshness;
use super::watch::{Launched, Shopper, View};

/// Long lines are cut at the edge instead of continuing on the next line, which would upset the count of lines.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// Where the view is shown.
pub(super) struct Panel {
    url: String,
    duration: Option<Duration>,
    terminal: bool,
    /// Lines on the screen that the next drawing replaces.
    drawn: usize,
}

impl Panel {
    pub fn new(url: &str, duration: Option<Duration>) -> Self {
        Self { url: url.to_owned(), duration, terminal: stdout().is_terminal(), drawn: 0 }
    }

    pub fn show(&mut self, view: &View) {
        let text = if self.terminal {
            let lines = panel(view, &self.url, self.duration);
            let back = if self.drawn > 0 { format!("\x1b[{}A\x1b[J", self.drawn) } else { String::new() };
            self.drawn = lines.len();
            format!("{NO_WRAP}{back}{}\n{WRAP}", lines.join("\n"))
        } else {
            format!("{}\n", line(view))
        };
        // A closed pipe is no reason to fail: the summary's write will tell.
        let mut out = stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Leaves the last drawing on the screen.
    pub fn close(&mut self) {
        self.drawn = 0;
    }
}

fn panel(view: &View, url: &str, duration: Option<Duration>) -> Vec<String> {
    let seconds = view.elapsed.as_secs();
    let time = match duration {
        Some(duration) => format!("{seconds} s of {} s", duration.as_secs()),
        None => format!("{seconds} s"),
    };
    let mut lines = vec![
        format!("{BOLD}ShopSmart{PLAIN}  {url}/docs  {DIM}{time}, Ctrl-C ends it{PLAIN}"),
        String::new(),
        format!("  events     {}", events(view)),
        format!("  lag        {}", lag(view)),
        format!("  freshness  {}", freshness(view.freshness)),
        String::new(),
        format!("{BOLD}Trending in the last hour{PLAIN}"),
    ];
    for (i, product) in view.trending.iter().enumerate() {
        lines.push(format!("  {}  {:<44} {DIM}{:>6.0}{PLAIN}", i + 1, product.name, product.score));
    }
    lines.extend(view.launched.as_ref().map(|launched| format!("  {DIM}{}{PLAIN}", launch(launched))));
    lines.push(String::new());
    for shopper in &view.shoppers {
        lines.push(format!("{BOLD}{}{PLAIN}  {}", shopper.user_id, did(shopper)));
        lines.push(format!("  {DIM}recommended{PLAIN}  {}", shopper.recommended.join("  ·  ")));
    }
    lines
}

fn line(view: &View) -> String {
    let top = view.trending.first().map_or("nothing yet", |product| &product.name);
    let mut line = format!(
        "{:>3} s  {}  |  lag {}  |  fresh after {}  |  trending: {top}",
        view.elapsed.as_secs(),
        events(view),
        lag(view),
        freshness(view.freshness),
    );
    if let Some(shopper) = view.shoppers.first()
        && let Some(best) = shopper.recommended.first()
    {
        line += &format!("  |  {} {}, recommended: {best}", shopper.user_id, did(shopper));
    }
    line
}

fn events(view: &View) -> String {
    let mut text = format!("{} acknowledged, {:.0}/s", view.acknowledged, view.events_per_second);
    if view.sent_again > 0 {
        text += &format!(", {} requests sent again", view.sent_again);
    }
    if view.rejected > 0 {
        text += &format!(", {} rejected", view.rejected);
    }
    text
}

fn lag(view: &View) -> String {
    format!("{} records, {} ms", view.lag_records, view.lag_ms)
}

pub(super) fn freshness(freshness: Freshness) -> String {
    let Freshness { p50, p99, count, missed } = freshness;
    if count == 0 && missed == 0 {
        return "(not measured yet)".to_owned();
    }
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    let mut text = format!("p50 {:.1} ms, p99 {:.1} ms (of {count})", ms(p50), ms(p99));
    if missed > 0 {
        text += &format!(", {missed} not seen in time");
    }
    text
}

fn launch(launched: &Launched) -> String {
    let place =
        launched.rank.map_or("not among the first yet".to_owned(), |rank| format!("now number {rank}"));
    format!("launched {} s ago: {}, {place}", launched.ago.as_secs(), launched.name)
}

fn did(shopper: &Shopper) -> String {
    match &shopper.last {
        None => "has not come yet".to_owned(),
        Some((event_type, product)) => {
            let did = match &event_type[..] {
                "add_to_cart" => "put into the cart",
                "purchase" => "bought",
                _ => "viewed",
            };
            format!("{did} {product}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::watch::Trending;
    use super::*;

    fn view() -> View {
        View {
            elapsed: Duration::from_secs(12),
            acknowledged: 2_412,
            events_per_second: 201.4,
            lag_records: 3,
            lag_ms: 4,
            freshness: Freshness {
                p50: Duration::from_micros(6_200),
                p99: Duration::from_micros(14_300),
                count: 43,
                missed: 0,
            },
            trending: vec![Trending { name: "Halden Copper Kettle".to_owned(), score: 92.0 }],
            launched: Some(Launched {
                name: "Arvel Oak Bowl".to_owned(),
                ago: Duration::from_secs(4),
                rank: Some(2),
            }),
            shoppers: vec![Shopper {
                user_id: "shopper-1".to_owned(),
                last: Some(("purchase".to_owned(), "Isker Storm Tent".to_owned())),
                recommended: vec!["Norra Trail Tarp".to_owned(), "Calder Gas Stove".to_owned()],
            }],
            ..View::default()
        }
    }

    fn shown(lines: &[String], text: &str) -> bool {
        lines.iter().any(|line| line.contains(text))
    }

    #[test]
    fn the_panel_shows_figures_and_names() {
        let lines = panel(&view(), "http://127.0.0.1:1", Some(Duration::from_secs(60)));
        for text in [
            "12 s of 60 s",
            "2412 acknowledged, 201/s",
            "3 records, 4 ms",
            "p50 6.2 ms, p99 14.3 ms (of 43)",
            "Halden Copper Kettle",
            "launched 4 s ago: Arvel Oak Bowl, now number 2",
            "bought Isker Storm Tent",
            "Norra Trail Tarp  ·  Calder Gas Stove",
        ] {
            assert!(shown(&lines, text), "{text} is not in {lines:#?}");
        }
        assert!(
            !shown(&lines, "rejected") && !shown(&lines, "again"),
            "what did not happen is not mentioned"
        );
        assert!(lines.iter().all(|line| !line.contains('\n')), "the count of lines is what is drawn over");
    }

    #[test]
    fn an_empty_view_can_be_shown() {
        let lines = panel(&View::default(), "http://127.0.0.1:1", None);
        assert!(shown(&lines, "not measured yet"));
        assert!(line(&View::default()).contains("trending: nothing yet"));
    }

    #[test]
    fn without_a_terminal_a_line_says_the_same_without_colours() {
        let line = line(&view());
        assert!(!line.contains('\x1b') && !line.contains('\n'));
        assert!(
            line.contains("201/s") && line.contains("p99 14.3 ms") && line.contains("Norra Trail Tarp"),
            "{line}"
        );
    }
}
