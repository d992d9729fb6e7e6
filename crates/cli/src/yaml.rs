//! What does a file in YAML say? A tree of texts, with the line of each, small by limits: an alias stands for a copy, and copies are counted.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// The most values of a file, aliases counted as what they stand for, and a long text as one more for each of so many bytes.
const MAX_NODES: usize = 10_000;
const LONG: usize = 256;
/// How deep they may lie.
const MAX_DEPTH: usize = 32;

/// A value, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    /// From 1; 0 where it stands in no file.
    pub(crate) line: usize,
    pub(crate) value: Value,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    /// What it means is for whoever wants it to say: `yes`, `0.1` and `5000` are texts too.
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Reads a file of one document.
///
/// # Errors
/// Where it is no YAML, has several documents, a key twice or one that is no text, or more than the limits.
pub(crate) fn read(text: &str) -> Result<Node, String> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes: 0,
    };
    let mut root = None;
    while let Some((event, span)) = reader.next()? {
        match event {
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::StreamEnd | Event::Nothing => {}
            _ if root.is_some() => return Err(at(&span, "there is a second document")),
            event => root = Some(reader.node(event, &span, 0)?),
        }
    }
    Ok(root.unwrap_or(Node {
        line: 0,
        value: Value::Null,
    }))
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, String> {
        let next = self.parser.next().transpose();
        next.map_err(|error| format!("line {}: {}", error.marker().line(), error.info()))
    }

    fn within(&mut self) -> Result<(Event<'a>, Span), String> {
        self.next()?.ok_or_else(|| "the file ends too soon".to_owned())
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, String> {
        if depth > MAX_DEPTH {
            return Err(at(span, &format!("values lie deeper than {MAX_DEPTH}")));
        }
        let before = self.nodes;
        self.count(1, span)?;
        let (value, anchor) = match event {
            Event::Alias(id) => {
                let (node, count) = self
                    .anchors
                    .get(&id)
                    .cloned()
                    .ok_or_else(|| at(span, "there is no such anchor"))?;
                self.count(count, span)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, _) => {
                self.count(text.len() / LONG, span)?;
                let is_null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = match is_null {
                    true => Value::Null,
                    false => Value::Text(text.into_owned()),
                };
                (value, anchor)
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.within()? {
                        (Event::SequenceEnd, _) => break (Value::List(items), anchor),
                        (event, span) => items.push(self.node(event, &span, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(anchor, _) => (self.map(depth)?, anchor),
            _ => return Err(at(span, "that is no value")),
        };
        let node = Node {
            line: span.start.line(),
            value,
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn map(&mut self, depth: usize) -> Result<Value, String> {
        let mut pairs: Vec<(String, Node)> = Vec::new();
        loop {
            let key = match self.within()? {
                (Event::MappingEnd, _) => return Ok(Value::Map(pairs)),
                // Who writes one means all that it brings, users and passwords too.
                (Event::Scalar(text, ..), span) if text == "<<" => {
                    return Err(at(
                        &span,
                        "merging by << is not understood; write out what it stands for",
                    ));
                }
                (Event::Scalar(text, ..), span) => match pairs.iter().any(|(key, _)| *key == text) {
                    true => return Err(at(&span, &format!("{text} stands there twice"))),
                    false => text.into_owned(),
                },
                (_, span) => return Err(at(&span, "a key is a text")),
            };
            let (event, span) = self.within()?;
            pairs.push((key, self.node(event, &span, depth + 1)?));
        }
    }

    fn count(&mut self, count: usize, span: &Span) -> Result<(), String> {
        self.nodes += count;
        match self.nodes > MAX_NODES {
            true => Err(at(span, &format!("there are more than {MAX_NODES} values"))),
            false => Ok(()),
        }
    }
}

fn at(span: &Span, what: &str) -> String {
    format!("line {}: {what}", span.start.line())
}

impl Node {
    /// What is below this key.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(pairs) => pairs.iter().find(|(known, _)| known == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Takes away what is below these keys, one below the other; maps that have nothing more stay.
    pub(crate) fn take(&mut self, path: &[&str]) -> Option<Self> {
        let (key, below) = path.split_first()?;
        let Value::Map(pairs) = &mut self.value else {
            return None;
        };
        let place = pairs.iter().position(|(known, _)| known == key)?;
        match below {
            [] => Some(pairs.remove(place).1),
            below => pairs[place].1.take(below),
        }
    }

    /// Puts a value below these keys, in place of what is there. What is a text on the way is the name of a map then, as `storage: filesystem`
    /// is; a number is a place in a list.
    pub(crate) fn put(&mut self, path: &[String], node: Self) {
        let Some((key, below)) = path.split_first() else {
            *self = node;
            return;
        };
        match &mut self.value {
            Value::Map(_) => {}
            Value::List(items) => {
                if let Ok(place) = key.parse::<usize>()
                    && place <= items.len()
                {
                    if place == items.len() {
                        items.push(Self::nothing());
                    }
                    items[place].put(below, node);
                }
                return;
            }
            Value::Text(name) => self.value = Value::Map(vec![(std::mem::take(name), Self::nothing())]),
            Value::Null if key == "0" => {
                self.value = Value::List(Vec::new());
                return self.put(path, node);
            }
            Value::Null => self.value = Value::Map(Vec::new()),
        }
        let Value::Map(pairs) = &mut self.value else { return };
        // Names of headers are written in any case.
        let place = pairs.iter().position(|(known, _)| known.eq_ignore_ascii_case(key));
        let place = place.unwrap_or_else(|| {
            pairs.push((key.clone(), Self::nothing()));
            pairs.len() - 1
        });
        pairs[place].1.put(below, node);
    }

    /// All that is left: each text, list and empty map with its path.
    pub(crate) fn leaves(&self) -> Vec<(String, &Self)> {
        let mut found = Vec::new();
        self.collect("", &mut found);
        found
    }

    fn collect<'a>(&'a self, path: &str, found: &mut Vec<(String, &'a Self)>) {
        match &self.value {
            Value::Map(pairs) => {
                for (key, node) in pairs {
                    let path = match path {
                        "" => key.clone(),
                        path => format!("{path}.{key}"),
                    };
                    node.collect(&path, found);
                }
            }
            Value::Null => {}
            _ => found.push((path.to_owned(), self)),
        }
    }

    fn nothing() -> Self {
        Self {
            line: 0,
            value: Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(node: &Node) -> String {
        match &node.value {
            Value::Null => "-".to_owned(),
            Value::Text(text) => format!("{text}@{}", node.line),
            Value::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
            Value::Map(pairs) => {
                let pairs = pairs.iter().map(|(key, node)| format!("{key}={}", shown(node)));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn a_tree_of_texts_is_read() {
        for (text, expected) in [
            ("", "-"),
            ("a", "a@1"),
            (
                "version: 0.1\nhttp:\n  addr: :5000\n",
                "{version=0.1@1 http={addr=:5000@3}}",
            ),
            ("a: [x, \"~\", ~, no]\nb:\n", "{a=[x@1 ~@1 - no@1] b=-}"),
            ("--- # comment\na: {b: 'c'}\n...\n", "{a={b=c@2}}"),
            ("a: &x {b: c}\nd: *x\n", "{a={b=c@1} d={b=c@1}}"),
        ] {
            assert_eq!(read(text).map(|node| shown(&node)), Ok(expected.to_owned()), "{text}");
        }
        // As many anchors as there are letters, each nine times the one before.
        let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
        for (before, letter) in ('a'..='h').zip('b'..='i') {
            bomb.push_str(&format!(
                "{letter}: &{letter} [{}]\n",
                vec![format!("*{before}"); 9].join(", ")
            ));
        }
        let deep = format!("{}x{}", "[".repeat(40), "]".repeat(40));
        let many = format!("[{}]", "x,".repeat(MAX_NODES));
        let copies = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), "*a,".repeat(100));
        for (text, says) in [
            ("a: 1\na: 2", "line 2: a stands there twice"),
            ("[a]: 1", "line 1: a key is a text"),
            ("a: &x {b: c}\n<<: *x", "line 2: merging by << is not understood"),
            ("a\n---\nb", "line 3: there is a second document"),
            ("a: [", "line 2"),
            ("a: *b", "line 1"),
            ("a: &x [*x]", "line 1"),
            (&bomb, "there are more than 10000 values"),
            (&deep, "line 1: values lie deeper than 32"),
            (&many, "there are more than 10000 values"),
            (&copies, "there are more than 10000 values"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn values_are_put_and_taken_by_their_paths() {
        let mut node = read("storage: filesystem\nlist: [a]\nheaders: {X-A: b}\nrest: {}").expect("a tree");
        for (path, value) in [
            ("storage.filesystem.rootdirectory", "/r"),
            ("list.0", "b"),
            ("list.1", "c"),
            ("list.7", "d"),
            ("new.0", "e"),
            ("headers.x-a", "f"),
            ("http.tls.key", "k"),
        ] {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            node.put(&path, read(value).expect("a tree"));
        }
        let expected = "{storage={filesystem={rootdirectory=/r@1}} list=[b@1 c@1] headers={X-A=f@1} rest={} new=[e@1] http={tls={key=k@1}}}";
        assert_eq!(shown(&node), expected);
        let taken = node.take(&["http", "tls", "key"]);
        assert_eq!(taken.map(|node| shown(&node)).as_deref(), Some("k@1"));
        assert_eq!(node.take(&["http", "tls", "key"]), None);
        assert_eq!(node.take(&["list", "a"]), None);
        let left: Vec<String> = node.leaves().into_iter().map(|(path, _)| path).collect();
        assert_eq!(left, ["storage.filesystem.rootdirectory", "list", "headers.X-A", "new"]);
    }
}
