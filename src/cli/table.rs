//! Tables for people: columns of text, as wide as they must be.

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// The rows below the heads, columns two spaces apart, nothing behind the last.
pub(super) fn table<const COLUMNS: usize>(
    heads: [(&str, Side); COLUMNS],
    rows: impl IntoIterator<Item = [String; COLUMNS]>,
) -> String {
    let sides = heads.map(|(_, side)| side);
    let first = heads.map(|(head, _)| head.to_owned());
    let rows: Vec<_> =
        std::iter::once(first).chain(rows.into_iter().map(|row| row.map(|text| visible(&text)))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let line = |row: &[String; COLUMNS]| {
        let mut line = String::new();
        for ((text, width), side) in row.iter().zip(widths).zip(sides) {
            line += &match side {
                Side::Left => format!("{text:width$}  "),
                Side::Right => format!("{text:>width$}  "),
            };
        }
        line.trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// A name may hold line breaks and what a terminal obeys; a row of a table may not.
pub(super) fn visible(text: &str) -> String {
    let show = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be_and_a_row_is_one_line() {
        let heads = [("name", Side::Left), ("n", Side::Right), ("why", Side::Left)];
        let rows = [["a\nb", "1", ""], ["c", "100", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(heads, rows), "name    n  why\na\\nb    1\nc     100  x\n");
    }
}
