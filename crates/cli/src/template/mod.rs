//! How is a result printed by a Go template? As skopeo's `--format` does it, with the functions of containers/common's report package.
//!
//! gotmpl reads the template. It is run here, as what a template sees in skopeo are structs, times and digests, which have fields that
//! must be there, and methods.

mod functions;
mod go_time;
mod run;
mod tabs;
#[cfg(test)]
mod tests;
pub(crate) mod value;

use gotmpl::parse::{Expr, Node, Parser};

use crate::{failure::Failure, output};
use run::Templates;
use value::Value;

/// Whether a format asks for what is printed without one: `json`, or `{{json .}}`.
pub(crate) fn is_json(format: &str) -> bool {
    let format = format.trim();
    let inner = format.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    format == "json" || inner.is_some_and(|inner| matches!(words(inner).join(" ").as_str(), "json" | "json ."))
}

/// Prints `value` by a template.
pub(crate) fn print(format: &str, value: Value) -> Result<(), Failure> {
    let text = render(format, value).map_err(|error| Failure::Usage(format!("--format {format:?}: {error}")))?;
    output::bytes(text.as_bytes())
}

/// What the template makes of a value, or what is wrong with it.
fn render(format: &str, value: Value) -> Result<String, String> {
    let templates = read(format)?;
    // The template ranges over all that there is to print, which is one thing.
    let text = templates.run(&Value::list(vec![value]))?;
    match format.starts_with(TABLE) {
        true => Ok(tabs::align(&text)),
        false => Ok(text),
    }
}

const TABLE: &str = "table ";
/// How often a template may say `else`.
const MAX_ELSE: usize = 200;

fn read(format: &str) -> Result<Templates, String> {
    let ranged = |text: String| format!("{{{{range .}}}}{text}{{{{end -}}}}");
    let normal = normalized(format);
    let (normal, plain) = match format.strip_prefix(TABLE) {
        Some(plain) => (ranged(normal), ranged(plain.to_owned())),
        None => {
            let enforced = |text: String| if has_range(&text) { text } else { ranged(text) };
            (enforced(normal), enforced(format.to_owned()))
        }
    };
    // A newline written for the shell, \n, would break a string such as in {{printf "\n"}}: then the template is taken as it is.
    parse(&normal).or_else(|_| parse(&plain))
}

fn parse(text: &str) -> Result<Templates, String> {
    strings_end(text)?;
    // gotmpl counts how deep all else nests, but reads an {{else if}} within the one before.
    if text.matches("else").count() > MAX_ELSE {
        return Err(format!("it says else more often than the limit of {MAX_ELSE}"));
    }
    // gotmpl reads no further than an {{end}} that ends nothing: that it came to this shows that there was none.
    let whole = format!("{text}{{{{{END:?}}}}}");
    let parsed = Parser::new(&whole, "{{", "}}").and_then(Parser::parse);
    let (mut tree, defines) = parsed.map_err(|error| error.to_string())?;
    let is_end = |node: Option<Node>| {
        let Some(Node::Action(action)) = node else { return false };
        let arguments = action.pipe.commands.first().map(|command| command.args.as_slice());
        matches!(arguments, Some([Expr::String(_, end)]) if **end == *END)
    };
    if !is_end(tree.nodes.pop()) {
        return Err("unexpected {{end}}".to_owned());
    }
    Templates::new(tree, defines)
}

const END: &str = "the end of the template";

/// Refuses a string in quotes that goes on over the end of a line, as Go does.
fn strings_end(text: &str) -> Result<(), String> {
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        rest = &rest[start + 2..];
        while !rest.is_empty() && !rest.starts_with("}}") {
            let (skipped, closed) = match rest.chars().next() {
                Some('`') => (rest[1..].find('`').map_or(rest.len(), |end| end + 2), true),
                Some('/') if rest.starts_with("/*") => (rest.find("*/").map_or(rest.len(), |end| end + 2), true),
                Some(quote @ ('"' | '\'')) => quoted(rest, quote),
                Some(c) => (c.len_utf8(), true),
                None => (0, true),
            };
            if !closed {
                return Err("unterminated quoted string".to_owned());
            }
            rest = &rest[skipped..];
        }
    }
    Ok(())
}

/// The length of what is quoted at the beginning of `text`, and whether it ends on its line.
fn quoted(text: &str, quote: char) -> (usize, bool) {
    let mut escaped = false;
    for (place, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return (place, false),
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return (place + 1, true),
            _ => {}
        }
    }
    (text.len(), false)
}

/// The template as a person means it: `\n` and `\t` are what they look like, a table's columns are apart, and a newline ends it.
fn normalized(format: &str) -> String {
    let table = format.starts_with(TABLE);
    let mut text = String::new();
    let mut rest = format;
    while let Some(c) = rest.chars().next() {
        let (taken, written) = match rest {
            _ if table && rest.starts_with(TABLE) => (TABLE.len(), None),
            _ if rest.starts_with("\\t") => (2, Some('\t')),
            _ if rest.starts_with("\\n") => (2, Some('\n')),
            _ if table && c == ' ' => (1, Some('\t')),
            _ => (c.len_utf8(), Some(c)),
        };
        text.extend(written);
        rest = &rest[taken..];
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Whether the template ranges by itself: `{{range .}}`, and an `{{end}}` behind it.
fn has_range(text: &str) -> bool {
    let actions = |text: &str, wanted: &dyn Fn(&str) -> bool| {
        text.match_indices("{{").find_map(|(start, _)| {
            let inner = &text[start + 2..];
            let end = inner.find("}}")?;
            wanted(&inner[..end]).then_some(start + 2 + end + 2)
        })
    };
    let is_range = |inner: &str| {
        inner
            .trim()
            .strip_prefix("range")
            .is_some_and(|rest| rest.trim() == ".")
    };
    let is_end = |inner: &str| matches!(inner.trim().strip_prefix("end").map(str::trim), Some("" | "-"));
    actions(text, &is_range).is_some_and(|behind| actions(&text[behind..], &is_end).is_some())
}
