//! How do columns stand under one another? As Go's text/tabwriter aligns them: a cell ends at a tab, and a column goes on as long as lines
//! that follow one another have it.

/// The least width of a column, and the spaces behind its widest cell.
const LEAST: usize = 12;
const BETWEEN: usize = 2;

/// Replaces tabs by as many spaces as bring the columns under one another.
pub(super) fn align(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut out = String::new();
    for (row, cells) in lines.iter().enumerate() {
        if row > 0 {
            out.push('\n');
        }
        for (column, cell) in cells.iter().enumerate() {
            out.push_str(cell);
            // What stands behind the last tab is no cell of a column.
            if column + 1 < cells.len() {
                let width = width(&lines, row, column);
                out.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
            }
        }
    }
    out
}

/// The width of a column in the block of lines around `row` that have it.
fn width(lines: &[Vec<&str>], row: usize, column: usize) -> usize {
    let has = |row: &usize| lines[*row].len() > column + 1;
    let before = (0..row).rev().take_while(has);
    let behind = (row..lines.len()).take_while(has);
    let cells = before.chain(behind).map(|row| lines[row][column].chars().count());
    (cells.max().unwrap_or_default() + BETWEEN).max(LEAST)
}
