//! What does a template make of a value? It is walked as Go's text/template walks it, within limits.

use std::{collections::HashMap, fmt::Write as _, rc::Rc};

use gotmpl::parse::{BranchNode, CommandNode, DefineNode, Expr, ListNode, Node, Number, PipeNode, TemplateNode};

use super::{functions, go_time, value::Value};

/// How deep templates may call templates, and branches stand in branches.
const MAX_DEPTH: usize = 200;
/// How often all loops together may go round, with branches and calls of templates.
const MAX_ROUNDS: usize = 10_000_000;
/// The most that a template may print, in bytes.
const MAX_OUTPUT: usize = 64 << 20;

/// A template and those that it defines.
pub(super) struct Templates {
    main: ListNode,
    named: HashMap<String, ListNode>,
}

impl Templates {
    /// All of them; what they call must be there, as Go has it, before anything is run.
    pub(super) fn new(main: ListNode, defines: Vec<DefineNode>) -> Result<Self, String> {
        let mut named = HashMap::new();
        for define in defines {
            let name = define.name.to_string();
            // An empty definition never takes the place of another.
            match named.get(&name) {
                Some(_) if define.body.is_empty_tree() => {}
                _ => {
                    named.insert(name, define.body);
                }
            }
        }
        let templates = Self { main, named };
        for tree in templates.named.values().chain([&templates.main]) {
            known(tree, true)?;
        }
        Ok(templates)
    }

    pub(super) fn run(&self, data: &Value) -> Result<String, String> {
        let mut run = Run {
            templates: self,
            variables: vec![("$".to_owned(), data.clone())],
            out: String::new(),
            depth: 0,
            rounds: 0,
        };
        match run.list(&self.main, data)? {
            Flow::On => Ok(run.out),
            Flow::Break | Flow::Continue => Err("{{break}} and {{continue}} stand in no {{range}}".to_owned()),
        }
    }
}

/// Refuses functions that there are none of, and definitions within something.
fn known(tree: &ListNode, outermost: bool) -> Result<(), String> {
    for node in &tree.nodes {
        match node {
            Node::List(list) => known(list, outermost)?,
            Node::Action(action) => known_in(&action.pipe)?,
            Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
                known_in(&branch.pipe)?;
                known(&branch.body, false)?;
                branch.else_body.as_ref().map_or(Ok(()), |body| known(body, false))?;
            }
            Node::Template(template) => template.pipe.as_ref().map_or(Ok(()), known_in)?,
            Node::Define(_) if !outermost => return Err("unexpected {{define}} within something".to_owned()),
            Node::Define(_) | Node::Text(_) | Node::Break(_) | Node::Continue(_) => {}
        }
    }
    Ok(())
}

fn known_in(pipe: &PipeNode) -> Result<(), String> {
    let mut next: Vec<&Expr> = pipe.commands.iter().flat_map(|command| &command.args).collect();
    while let Some(expression) = next.pop() {
        match expression {
            Expr::Identifier(_, name) if !functions::is_one(name.as_str()) => {
                return Err(format!("function {name:?} not defined"));
            }
            Expr::Pipe(_, pipe) => next.extend(pipe.commands.iter().flat_map(|command| &command.args)),
            Expr::Chain(_, inner, _) => next.push(inner),
            _ => {}
        }
    }
    Ok(())
}

/// How a list of nodes was left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Run<'a> {
    templates: &'a Templates,
    /// The innermost last.
    variables: Vec<(String, Value)>,
    out: String,
    depth: usize,
    rounds: usize,
}

impl<'a> Run<'a> {
    fn list(&mut self, list: &'a ListNode, dot: &Value) -> Result<Flow, String> {
        for node in &list.nodes {
            let flow = match node {
                Node::Text(text) => self.write(&text.text)?,
                Node::Action(action) => {
                    let value = self.pipe(&action.pipe, dot)?;
                    if action.pipe.decl.is_empty() {
                        self.write(&functions::printed(&value))?;
                    }
                    Flow::On
                }
                Node::If(branch) => self.deeper(|run| run.either(branch, dot))?,
                Node::With(branch) => self.deeper(|run| run.with(branch, dot))?,
                Node::Range(branch) => self.deeper(|run| run.range(branch, dot))?,
                Node::Template(template) => self.deeper(|run| run.call(template, dot))?,
                Node::List(list) => self.deeper(|run| run.list(list, dot))?,
                Node::Define(_) => Flow::On,
                Node::Break(_) => Flow::Break,
                Node::Continue(_) => Flow::Continue,
            };
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn write(&mut self, text: &str) -> Result<Flow, String> {
        if self.out.len() + text.len() > MAX_OUTPUT {
            return Err(format!("it prints more than the limit of {MAX_OUTPUT} bytes"));
        }
        self.out.push_str(text);
        Ok(Flow::On)
    }

    fn round(&mut self) -> Result<(), String> {
        self.rounds += 1;
        match self.rounds > MAX_ROUNDS {
            true => Err(format!(
                "its loops and calls go round more often than the limit of {MAX_ROUNDS}"
            )),
            false => Ok(()),
        }
    }

    /// One level down, with variables of its own.
    fn deeper(&mut self, work: impl FnOnce(&mut Self) -> Result<Flow, String>) -> Result<Flow, String> {
        if self.depth >= MAX_DEPTH {
            return Err(format!("it goes deeper than the limit of {MAX_DEPTH}"));
        }
        // Sixty templates that each call the next one twice would go on for ever, with no loop in them.
        self.round()?;
        self.depth += 1;
        let kept = self.variables.len();
        let flow = work(self);
        self.variables.truncate(kept);
        self.depth -= 1;
        flow
    }

    fn either(&mut self, branch: &'a BranchNode, dot: &Value) -> Result<Flow, String> {
        match (self.pipe(&branch.pipe, dot)?.is_true(), &branch.else_body) {
            (true, _) => self.list(&branch.body, dot),
            (false, Some(body)) => self.list(body, dot),
            (false, None) => Ok(Flow::On),
        }
    }

    fn with(&mut self, branch: &'a BranchNode, dot: &Value) -> Result<Flow, String> {
        let value = self.pipe(&branch.pipe, dot)?;
        match (value.is_true(), &branch.else_body) {
            (true, _) => self.list(&branch.body, &value),
            (false, Some(body)) => self.list(body, dot),
            (false, None) => Ok(Flow::On),
        }
    }

    fn range(&mut self, branch: &'a BranchNode, dot: &Value) -> Result<Flow, String> {
        let over = self.value_of(&branch.pipe, dot)?;
        let items: Box<dyn Iterator<Item = (Value, Value)>> = match &over {
            Value::List(list) => {
                let list = Rc::clone(list);
                Box::new((0..list.items.len()).map(move |place| (Value::Int(place as i64), list.items[place].clone())))
            }
            Value::Map(map) => {
                let entries = map.entries.iter().map(|(key, value)| (Value::text(key), value.clone()));
                Box::new(entries.collect::<Vec<_>>().into_iter())
            }
            Value::Int(_) if branch.pipe.decl.len() > 1 => {
                return Err(format!("can't use {over} to iterate over more than one variable"));
            }
            Value::Int(count) => Box::new((0..*count).map(|place| (Value::Int(place), Value::Int(place)))),
            Value::Absent => Box::new(std::iter::empty()),
            other => return Err(format!("range can't iterate over {other}")),
        };
        let mut any = false;
        for (key, item) in items {
            any = true;
            self.round()?;
            let kept = self.variables.len();
            let bound = match branch.pipe.decl.as_slice() {
                [] => vec![],
                [one] => vec![(one, item.clone())],
                [first, second, ..] => vec![(first, key), (second, item.clone())],
            };
            for (name, value) in bound {
                self.bind(name.as_str(), value, branch.pipe.is_assign)?;
            }
            let flow = self.list(&branch.body, &item)?;
            self.variables.truncate(kept);
            if flow == Flow::Break {
                break;
            }
        }
        match &branch.else_body {
            Some(body) if !any => self.list(body, dot),
            _ => Ok(Flow::On),
        }
    }

    fn call(&mut self, template: &'a TemplateNode, dot: &Value) -> Result<Flow, String> {
        let Some(tree) = self.templates.named.get(template.name.as_str()) else {
            return Err(format!("template {:?} not defined", template.name));
        };
        let data = match &template.pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Absent,
        };
        // A template sees no variables but its own.
        let outer = std::mem::replace(&mut self.variables, vec![("$".to_owned(), data.clone())]);
        let flow = self.list(tree, &data);
        self.variables = outer;
        match flow? {
            Flow::On => Ok(Flow::On),
            _ => Err("{{break}} and {{continue}} stand in no {{range}}".to_owned()),
        }
    }

    fn bind(&mut self, name: &str, value: Value, assign: bool) -> Result<(), String> {
        if !assign {
            self.variables.push((name.to_owned(), value));
            return Ok(());
        }
        let known = self.variables.iter_mut().rev().find(|(known, _)| known == name);
        let known = known.ok_or_else(|| format!("undefined variable {name:?}"))?;
        known.1 = value;
        Ok(())
    }

    /// The value of a pipeline, which its variables get too.
    fn pipe(&mut self, pipe: &'a PipeNode, dot: &Value) -> Result<Value, String> {
        let value = self.value_of(pipe, dot)?;
        match pipe.decl.as_slice() {
            [] => {}
            [name] => self.bind(name.as_str(), value.clone(), pipe.is_assign)?,
            _ => return Err("only range declares two variables".to_owned()),
        }
        Ok(value)
    }

    fn value_of(&mut self, pipe: &'a PipeNode, dot: &Value) -> Result<Value, String> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, dot, value)?);
        }
        value.ok_or_else(|| "an action is empty".to_owned())
    }

    fn command(&mut self, command: &'a CommandNode, dot: &Value, piped: Option<Value>) -> Result<Value, String> {
        let Some((first, rest)) = command.args.split_first() else {
            return Err("an action is empty".to_owned());
        };
        match first {
            Expr::Identifier(_, name) => self.function(name.as_str(), rest, dot, piped),
            Expr::Chain(_, inner, fields) => {
                // A function's arguments stand behind its fields: this is how Go reads `index.x .` too.
                let value = match inner.as_ref() {
                    Expr::Identifier(_, name) => return Err(format!("{name} is a function, and has no fields")),
                    inner => self.expression(inner, dot)?,
                };
                self.fields(value, fields.iter().map(|field| field.as_str()), rest, dot, piped)
            }
            Expr::Field(_, fields) => {
                self.fields(dot.clone(), fields.iter().map(|field| field.as_str()), rest, dot, piped)
            }
            Expr::Variable(_, name, fields) => {
                let value = self.variable(name.as_str())?;
                if fields.is_empty() && (!rest.is_empty() || piped.is_some()) {
                    return Err(format!("can't give argument to non-function {name}"));
                }
                self.fields(value, fields.iter().map(|field| field.as_str()), rest, dot, piped)
            }
            Expr::Nil(_) => Err("nil is not a command".to_owned()),
            _ if !rest.is_empty() || piped.is_some() => Err("can't give argument to non-function".to_owned()),
            other => self.expression(other, dot),
        }
    }

    fn expression(&mut self, expression: &'a Expr, dot: &Value) -> Result<Value, String> {
        match expression {
            Expr::Dot(_) => Ok(dot.clone()),
            Expr::Field(_, fields) => {
                self.fields(dot.clone(), fields.iter().map(|field| field.as_str()), &[], dot, None)
            }
            Expr::Variable(_, name, fields) => {
                let value = self.variable(name.as_str())?;
                self.fields(value, fields.iter().map(|field| field.as_str()), &[], dot, None)
            }
            Expr::Identifier(_, name) => self.function(name.as_str(), &[], dot, None),
            Expr::String(_, text) => Ok(Value::text(text)),
            Expr::Number(_, Number::Int(number)) => Ok(Value::Int(*number)),
            Expr::Number(_, Number::Uint(number)) => Err(format!("{number} overflows int")),
            Expr::Number(_, Number::Float(number)) => Ok(Value::Float(*number)),
            Expr::Bool(_, value) => Ok(Value::Bool(*value)),
            Expr::Nil(_) => Ok(Value::Nil),
            Expr::Pipe(_, pipe) => {
                // What it declares holds within it.
                let kept = self.variables.len();
                let value = self.pipe(pipe, dot);
                self.variables.truncate(kept);
                value
            }
            Expr::Chain(_, inner, fields) => {
                let value = self.expression(inner, dot)?;
                self.fields(value, fields.iter().map(|field| field.as_str()), &[], dot, None)
            }
        }
    }

    fn variable(&self, name: &str) -> Result<Value, String> {
        let found = self.variables.iter().rev().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.clone())
            .ok_or_else(|| format!("undefined variable {name:?}"))
    }

    /// Field after field; the last may be a method with arguments.
    fn fields<'n>(
        &mut self,
        mut value: Value,
        names: impl Iterator<Item = &'n str>,
        rest: &'a [Expr],
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, String> {
        let mut arguments = Vec::new();
        for argument in rest {
            arguments.push(self.expression(argument, dot)?);
        }
        arguments.extend(piped);
        let mut names = names.peekable();
        while let Some(name) = names.next() {
            let given = match names.peek() {
                None => std::mem::take(&mut arguments),
                Some(_) => Vec::new(),
            };
            value = field(&value, name, &given)?;
        }
        match arguments.is_empty() {
            true => Ok(value),
            false => Err("can't give argument to non-function".to_owned()),
        }
    }

    fn function(&mut self, name: &str, rest: &'a [Expr], dot: &Value, piped: Option<Value>) -> Result<Value, String> {
        // These stop at the argument that decides.
        if matches!(name, "and" | "or") {
            let mut last = None;
            for argument in rest {
                let value = self.expression(argument, dot)?;
                let decides = value.is_true() == (name == "or");
                last = Some(value);
                if decides {
                    return last.ok_or_else(String::new);
                }
            }
            return piped
                .or(last)
                .ok_or_else(|| format!("wrong number of args for {name}: want at least 1 got 0"));
        }
        let mut arguments = Vec::new();
        for argument in rest {
            arguments.push(self.expression(argument, dot)?);
        }
        arguments.extend(piped);
        let value = functions::call(name, &arguments)?;
        // What is made of itself again and again grows beyond any memory.
        match value.as_text() {
            Some(text) if text.len() > MAX_OUTPUT => {
                Err(format!("{name} makes more than the limit of {MAX_OUTPUT} bytes"))
            }
            _ => Ok(value),
        }
    }
}

fn field(value: &Value, name: &str, arguments: &[Value]) -> Result<Value, String> {
    let of_method = match value {
        Value::Time(time) => go_time::method(time, name, arguments),
        Value::Digest(digest) => digest_method(digest, name, arguments),
        _ => None,
    };
    if let Some(result) = of_method {
        return result;
    }
    let found = match value {
        Value::Struct(_) => value.field(name).cloned(),
        Value::Map(map) => Some(map.entries.get(name).cloned().unwrap_or(Value::Absent)),
        Value::Absent => Some(Value::Absent),
        Value::Nil => return Err(format!("nil pointer evaluating {name}")),
        _ => None,
    };
    let mut message = String::new();
    match found {
        Some(found) if arguments.is_empty() => return Ok(found),
        Some(_) => write!(message, "{name} is not a method but has arguments"),
        None => write!(message, "can't evaluate field {name} in type {}", value.kind()),
    }
    .map_err(|error| error.to_string())?;
    Err(message)
}

fn digest_method(digest: &str, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let split = || {
        digest
            .split_once(':')
            .ok_or_else(|| format!("error calling {name}: {digest:?} is no digest"))
    };
    let result = match name {
        "String" => Ok(Value::text(digest)),
        "Algorithm" => split().map(|(algorithm, _)| Value::text(algorithm)),
        "Encoded" | "Hex" => split().map(|(_, encoded)| Value::text(encoded)),
        "Validate" => match digest.parse::<teu_spec::Digest>() {
            Ok(_) => Ok(Value::Nil),
            Err(error) => Err(format!("error calling Validate: {error}")),
        },
        _ => return None,
    };
    Some(match arguments {
        [] => result,
        _ => Err(format!(
            "wrong number of args for {name}: want 0 got {}",
            arguments.len()
        )),
    })
}
