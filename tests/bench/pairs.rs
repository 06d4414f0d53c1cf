//! Comparing two things fairly: interleaved pairs, the median of their ratios, quartiles.
//!
//! A machine is never quiet for long, so the two sides of a pair run directly after one another, and what counts is
//! the ratio within pairs, not the quotient of two averages.

/// Pairs per row: the fewest from which quartiles mean something.
pub(crate) const PAIRS: usize = 9;

/// Whether a larger figure is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    /// Rates.
    Higher,
    /// Times, memory, instructions.
    Lower,
}

/// One comparison.
#[derive(Debug)]
pub(crate) struct Row {
    /// What is compared.
    pub(crate) name: String,
    /// The unit of the figures.
    pub(crate) unit: &'static str,
    /// Which way is better.
    pub(crate) better: Better,
    /// The ratio ours/peer that is asked for, if any: at least, for [`Better::Higher`]; at most, else.
    pub(crate) bar: Option<f64>,
    /// Ours and the peer's figure, pair by pair.
    pub(crate) pairs: Vec<(f64, f64)>,
}

impl Row {
    /// Runs `PAIRS` pairs, after one that warms up and does not count.
    pub(crate) fn run(
        name: &str,
        unit: &'static str,
        better: Better,
        bar: Option<f64>,
        mut ours: impl FnMut() -> f64,
        mut peer: impl FnMut() -> f64,
    ) -> Self {
        ours();
        peer();
        // Each side goes first every other time: what the first leaves behind (caches, heat) evens out.
        let pairs = (0..PAIRS).map(|n| {
            if n % 2 == 0 {
                let first = ours();
                (first, peer())
            } else {
                let first = peer();
                (ours(), first)
            }
        });
        Self { name: name.to_owned(), unit, better, bar, pairs: pairs.collect() }
    }

    /// The median of ours/peer.
    pub(crate) fn ratio(&self) -> f64 {
        quartiles(self.pairs.iter().map(|(ours, peer)| ours / peer)).1
    }

    /// Whether the bar is met; true where there is none.
    pub(crate) fn is_met(&self) -> bool {
        self.bar.is_none_or(|bar| match self.better {
            Better::Higher => self.ratio() >= bar,
            Better::Lower => self.ratio() <= bar,
        })
    }
}

/// Lower quartile, median, upper quartile.
pub(crate) fn quartiles(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    (at(0.25), at(0.5), at(0.75))
}

/// Prints rows as a table: median (quartiles) of ours, of the peer, and of their ratio, with the bar.
pub(crate) fn print(rows: &[Row]) {
    println!("| what | ours | peer | ratio | bar | |\n|-|-|-|-|-|-|");
    for row in rows {
        let ours = cell(row.pairs.iter().map(|pair| pair.0));
        let peer = cell(row.pairs.iter().map(|pair| pair.1));
        let ratio = cell(row.pairs.iter().map(|pair| pair.0 / pair.1));
        let sign = if row.better == Better::Higher { "at least" } else { "at most" };
        let bar = row.bar.map_or("none".to_owned(), |bar| format!("{sign} {bar}"));
        let verdict = if row.is_met() { "ok" } else { "MISSED" };
        println!("| {} | {ours} {unit} | {peer} {unit} | {ratio} | {bar} | {verdict} |", row.name, unit = row.unit);
    }
}

fn cell(values: impl Iterator<Item = f64>) -> String {
    let (low, median, high) = quartiles(values);
    format!("{median:.2} ({low:.2} to {high:.2})")
}
