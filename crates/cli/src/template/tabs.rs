//! How do columns stand under one another? As Go's text/tabwriter aligns them: a cell ends at a tab, and a column goes on as long as lines
//! that follow one another have it.

/// The least width of a column, and the spaces behind its widest cell.
const LEAST: usize = 12;
const BETWEEN: usize = 2;

/// Replaces tabs by as many spaces as bring the columns under one another.
pub(super) fn align(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut out = String::new();
    // Of the block of lines that each column is in.
    let mut widths: Vec<usize> = Vec::new();
    for (row, cells) in lines.iter().enumerate() {
        if row > 0 {
            out.push('\n');
        }
        for (column, cell) in cells.iter().enumerate() {
            out.push_str(cell);
            // What stands behind the last tab is no cell of a column.
            if column + 1 < cells.len() {
                if row == 0 || lines[row - 1].len() <= column + 1 {
                    widths.truncate(column);
                    widths.push(width(&lines[row..], column));
                }
                out.extend(std::iter::repeat_n(' ', widths[column] - cell.chars().count()));
            }
        }
    }
    out
}

/// The width of a column in the block of lines that begins here: all that follow one another and have it.
fn width(lines: &[Vec<&str>], column: usize) -> usize {
    let block = lines.iter().take_while(|line| line.len() > column + 1);
    let cells = block.map(|line| line[column].chars().count());
    (cells.max().unwrap_or_default() + BETWEEN).max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_begin_and_end_with_their_blocks() {
        let text = "a\tb\tc\nlonger than twelve\tx\n-\nd\te\tf and more than twelve\tg";
        let aligned = "a                   b           c\nlonger than twelve  x\n-\n\
                       d           e           f and more than twelve  g";
        assert_eq!(align(text), aligned);
    }

    #[test]
    fn many_lines_take_no_longer_each() {
        // Looked at once for each line, these would take hours.
        let lines = 200_000;
        assert_eq!(align(&"\t\n".repeat(lines)).len(), lines * (LEAST + 1));
    }
}
