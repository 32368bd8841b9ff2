//! What was measured: one table, one file, one plot.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// A measured figure beside its floor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// Ours; the median of the rounds.
    pub ours: f64,
    /// The same of the bare parts, in the same run; none where nothing can be compared.
    pub floor: Option<f64>,
    /// Ours over the floor's; where they were measured in turn, the median over the turns.
    pub ratio: Option<f64>,
    /// Unit of both.
    pub unit: &'static str,
    /// What is aimed at, in words.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub goal: &'static str,
}

impl Figure {
    /// A figure that stands alone.
    pub fn alone(name: impl Into<String>, ours: f64, unit: &'static str, goal: &'static str) -> Self {
        Self { name: name.into(), ours, floor: None, ratio: None, unit, goal }
    }

    /// A figure beside its floor.
    pub fn beside(
        name: impl Into<String>,
        ours: f64,
        floor: f64,
        unit: &'static str,
        goal: &'static str,
    ) -> Self {
        let ratio = (floor > 0.0).then(|| ours / floor);
        Self { name: name.into(), ours, floor: Some(floor), ratio, unit, goal }
    }
}

/// Rates of ours and of a floor that were measured in turn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Turns {
    /// Of each turn, ours and the floor's.
    pub rates: Vec<(f64, f64)>,
}

impl Turns {
    /// The median of ours.
    pub fn ours(&self) -> f64 {
        median(self.rates.iter().map(|&(ours, _)| ours).collect())
    }

    /// The median of the floor's.
    pub fn floor(&self) -> f64 {
        median(self.rates.iter().map(|&(_, floor)| floor).collect())
    }

    /// As a figure: medians, each for `times` of what was counted, and the median of the turns' ratios. A machine that is slower
    /// for some seconds is so for both of a turn.
    pub fn figure(&self, name: String, times: f64, unit: &'static str, goal: &'static str) -> Figure {
        let ratios = self.rates.iter().filter(|&&(_, floor)| floor > 0.0).map(|&(ours, floor)| ours / floor);
        let beside = Figure::beside(name, self.ours() * times, self.floor() * times, unit, goal);
        Figure { ratio: beside.ratio.map(|_| median(ratios.collect())), ..beside }
    }
}

/// The median of some numbers; 0 of none.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => numbers[middle],
        _ => (numbers[middle - 1] + numbers[middle]) / 2.0,
    }
}

/// The figures as a table for people.
pub fn table(figures: &[Figure]) -> String {
    let width = figures.iter().map(|figure| figure.name.chars().count()).max().unwrap_or(0).max(6);
    let mut out = format!(
        "{:width$}  {:>12}  {:>12}  {:>6}  {:10}  goal\n",
        "figure", "ours", "floor", "ratio", "unit"
    );
    for figure in figures {
        let (floor, ratio) = (figure.floor.map(number), figure.ratio.map(|ratio| format!("{ratio:.2}")));
        let line = format!(
            "{:width$}  {:>12}  {:>12}  {:>6}  {:10}  {}",
            figure.name,
            number(figure.ours),
            floor.unwrap_or_default(),
            ratio.unwrap_or_default(),
            figure.unit,
            figure.goal
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// Writes `results.json` and `results.svg` into a folder, which is made when absent.
///
/// # Errors
/// When the folder cannot be written.
pub fn write(figures: &[Figure], folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let json = serde_json::to_vec_pretty(figures)?;
    for (name, content) in [("results.json", json), ("results.svg", plot(figures).into_bytes())] {
        let file = folder.join(name);
        fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// The ratios to the floors as bars; the line is the floor.
fn plot(figures: &[Figure]) -> String {
    const ROW: usize = 26;
    const NAMES: f64 = 420.0;
    const SCALE: f64 = 200.0;
    const MOST: f64 = 2.5;
    let compared: Vec<(&Figure, f64)> =
        figures.iter().filter_map(|figure| Some((figure, figure.ratio?))).collect();
    let (width, height) = (NAMES + MOST * SCALE + 70.0, (compared.len() + 2) * ROW);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"18\" font-weight=\"bold\">ours as a multiple of the floor in the same run</text>\n"
    );
    for (row, (figure, ratio)) in compared.iter().enumerate() {
        let y = (row + 1) * ROW + 8;
        let (length, text) = (ratio.min(MOST) * SCALE, y + 13);
        let name = figure.name.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{name}</text>\n\
             <rect x=\"{NAMES}\" y=\"{y}\" width=\"{length:.0}\" height=\"16\" fill=\"#3b6fb6\"/>\n\
             <text x=\"{:.0}\" y=\"{text}\">{ratio:.2}</text>",
            NAMES - 8.0,
            NAMES + length + 6.0
        );
    }
    let floor = NAMES + SCALE;
    let _ = writeln!(
        svg,
        "<line x1=\"{floor}\" x2=\"{floor}\" y1=\"{ROW}\" y2=\"{height}\" stroke=\"#b03030\" stroke-dasharray=\"4 3\"/>\n</svg>"
    );
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(vec![]), 0.0);
    }

    #[test]
    fn a_ratio_is_that_of_the_same_turn() {
        let turns = Turns { rates: vec![(90.0, 100.0), (45.0, 50.0), (80.0, 100.0)] };
        let figure = turns.figure("requests".to_owned(), 10.0, "1/s", "");
        assert_eq!((figure.ours, figure.floor, figure.ratio), (800.0, Some(1_000.0), Some(0.9)));
    }

    #[test]
    fn a_figure_shows_its_floor_where_it_has_one() {
        let figures = [
            Figure::beside("requests", 150.0, 100.0, "1/s", "1.5 × floor"),
            Figure::alone("memory", 0.25, "GiB", ""),
        ];
        let table = table(&figures);
        assert!(table.lines().nth(1).unwrap().contains("1.50"), "{table}");
        assert!(table.lines().nth(2).unwrap().ends_with("GiB"), "{table}");
        let folder = tempfile::tempdir().unwrap();
        write(&figures, folder.path()).unwrap();
        let json: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.path().join("results.json")).unwrap()).unwrap();
        assert_eq!((json[0]["ratio"].as_f64(), json[1]["floor"].as_f64()), (Some(1.5), None));
        assert_eq!(json[1]["unit"], "GiB");
        assert_eq!(plot(&figures).matches("fill=\"#3b6fb6\"").count(), 1, "what has no floor is no bar");
    }
}
