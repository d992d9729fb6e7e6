//! What is seen after which keys, without a terminal.

use std::sync::Arc;

use ratatui::{
    Terminal,
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    style::{Color, Modifier},
};
use teu_archive::tar::{Header, Writer};
use teu_image::{Layer, analyze::Efficiency, contents, growth::Growth, tree};
use teu_spec::{Descriptor, Digest, MediaType};
use teu_store::{Memory, Source};

use super::{
    draw,
    image::{About, LayerAbout},
    sheet::Sheet,
    state::{Action, Focus, State},
};

type Entry = (Header, &'static [u8]);

fn file(path: &str, content: &'static [u8]) -> Entry {
    let mut header = Header::file(path, content.len() as u64);
    header.mode = 0o644;
    (header, content)
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Writer::new(Vec::new());
    for (header, content) in entries {
        tar.append_data(header, content).expect("written");
    }
    tar.finish().expect("whole")
}

fn grown(layers: &[Vec<Entry>]) -> Growth {
    let store = Memory::new();
    let layers: Vec<Layer> = layers
        .iter()
        .enumerate()
        .map(|(position, entries)| {
            let tar = archive(entries);
            let layer = Layer {
                position,
                descriptor: Descriptor::of(MediaType::OciLayer, &tar),
                diff_id: Digest::of(&tar),
            };
            store.insert_blob(tar);
            layer
        })
        .collect();
    let source: Arc<dyn Source> = Arc::new(store);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let options = contents::Options::default();
    let tables = runtime
        .block_on(contents::of_all(&source, &layers, None, &options))
        .expect("tables");
    Growth::of(&tables, &tree::Options::default()).expect("a growth")
}

/// Two layers of files with names and commands that are not to be trusted.
fn state() -> State {
    let mut su = file("bin/su", b"1234567");
    su.0.mode = 0o4755;
    let lower = vec![
        su,
        (Header::symlink("bin/sh", "dash"), b"" as &[u8]),
        file("etc/app/conf", b"12"),
        file("etc/gone", b"1"),
        file("etc/x\x1b[2J\u{202e}", b""),
        file("usr/lib/one.so", b"123"),
        file("usr/lib/two.so", b"1234"),
    ];
    let upper = vec![
        file("etc/.wh.gone", b""),
        file("etc/app/conf", b"123"),
        file("opt/NEW", b"12345"),
    ];
    let layer = |made_by: &str| LayerAbout {
        size: 1500,
        made_by: made_by.to_owned(),
        facts: vec![("digest", "sha256:0123456789abcdef".to_owned())],
    };
    let about = About {
        title: "oci:images:app".to_owned(),
        layers: vec![layer("ADD base"), layer("COPY all")],
        files: None,
        efficiency: Some(Efficiency {
            score: 0.9,
            ..Efficiency::default()
        }),
    };
    State::new(about, grown(&[lower, upper]))
}

fn press(state: &mut State, keys: &str) -> Action {
    let mut action = Action::Nothing;
    for key in keys.split(' ') {
        let (code, modifiers) = match key {
            "Tab" => (KeyCode::Tab, KeyModifiers::NONE),
            "Enter" => (KeyCode::Enter, KeyModifiers::NONE),
            "Esc" => (KeyCode::Esc, KeyModifiers::NONE),
            "Up" => (KeyCode::Up, KeyModifiers::NONE),
            "Down" => (KeyCode::Down, KeyModifiers::NONE),
            "Left" => (KeyCode::Left, KeyModifiers::NONE),
            "Right" => (KeyCode::Right, KeyModifiers::NONE),
            "Back" => (KeyCode::Backspace, KeyModifiers::NONE),
            "^C" => (KeyCode::Char('c'), KeyModifiers::CONTROL),
            "^Z" => (KeyCode::Char('z'), KeyModifiers::CONTROL),
            word => {
                for c in word.chars() {
                    action = state.key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE));
                }
                continue;
            }
        };
        action = state.key(KeyEvent::new(code, modifiers));
    }
    action
}

fn drawn(state: &mut State, width: u16, height: u16, colours: bool) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    let drawn = terminal.draw(|frame| {
        let area = frame.area();
        if let Some(cursor) = draw::draw(state, colours, area, frame.buffer_mut()) {
            frame.set_cursor_position(cursor);
        }
    });
    drawn.expect("drawn");
    terminal
}

/// What stands on the screen, line by line.
fn seen(state: &mut State, width: u16, height: u16) -> Vec<String> {
    let terminal = drawn(state, width, height, false);
    let buffer = terminal.backend().buffer();
    (0..height)
        .map(|y| {
            let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
            line.trim_end().to_owned()
        })
        .collect()
}

/// The names of the lines of the tree, with their marks.
fn tree(state: &mut State) -> Vec<String> {
    state.focus = Focus::Files;
    let lines = seen(state, 40, 40);
    let rows = lines[2..38].iter().take_while(|line| !line.is_empty());
    rows.map(|line| {
        format!(
            "{}{}",
            &line[..line.chars().next().map_or(0, char::len_utf8)],
            line.chars().skip(12).collect::<String>()
        )
    })
    .collect()
}

#[test]
fn the_screen_has_layers_files_what_is_chosen_and_the_keys() {
    let mut state = state();
    press(&mut state, "] Tab Right");
    let expected = "\
oci:images:app
 Layers                              │ Files up to layer 1, 22 B
  0    1.5 kB  ADD base              │  drwxr-xr-x       0:0       7 B ▾ bin/
  1    1.5 kB  COPY all              │  lrwxrwxrwx       0:0       0 B     sh -> dash
                                     │  -rwsr-xr-x       0:0       7 B     su
 Layer 1                             │· drwxr-xr-x       0:0       3 B ▸ etc/
 files    +2 ~1 -1                   │+ drwxr-xr-x       0:0       5 B ▸ opt/
 digest   sha256:0123456789abcdef    │  drwxr-xr-x       0:0       7 B ▸ usr/
 COPY all                            │
                                     │
 Image                               │
 efficiency 0.9000, 0 B wasted       │
/bin/  drwxr-xr-x 0:0  layer 0  1970-01-01T00:00:00Z
Tab side  [ ] layer  m alone  / search  f filter  Enter open  ? keys  q end";
    let expected: Vec<&str> = expected.lines().collect();
    assert_eq!(seen(&mut state, 93, 14), expected);
    // Where not all of the keys have room, those that lead on are seen.
    let narrow = seen(&mut state, 40, 14);
    assert_eq!(
        narrow.last().expect("a line"),
        "? keys  q end  Tab side  / search  f fil"
    );
    press(&mut state, "Down Down");
    assert_eq!(
        seen(&mut state, 93, 14)[12],
        "/bin/su  -rwsr-xr-x 0:0  layer 0  1970-01-01T00:00:00Z  7 bytes"
    );
    press(&mut state, "Up");
    assert_eq!(
        seen(&mut state, 93, 14)[12],
        "/bin/sh -> dash  lrwxrwxrwx 0:0  layer 0  1970-01-01T00:00:00Z"
    );
}

#[test]
fn a_narrow_screen_has_one_side_and_a_small_one_says_so() {
    let mut state = state();
    let lines = seen(&mut state, 40, 9);
    assert_eq!(
        lines[1..4],
        [" Layers", "  0    1.5 kB  ADD base", "  1    1.5 kB  COPY all"]
    );
    press(&mut state, "Tab");
    let lines = seen(&mut state, 40, 9);
    assert_eq!(
        lines[1..4],
        [" Files up to layer 0, 17 B", "+       7 B ▸ bin/", "+       3 B ▸ etc/"]
    );
    assert_eq!(seen(&mut state, 29, 8)[0], "the terminal is too small");
    for (width, height) in [(1, 1), (30, 8), (70, 8), (300, 100)] {
        seen(&mut state, width, height);
    }
}

#[test]
fn what_a_layer_did_is_marked_and_seen_alone() {
    let mut state = state();
    press(&mut state, "] Tab *");
    press(&mut state, "Down * Down Down * Down Down Down Down * Down Down *");
    let all = [
        " ▾ bin/",
        "     sh -> dash",
        "     su",
        "·▾ etc/",
        "·  ▾ app/",
        "~      conf",
        "-    gone",
        "     x\\u{1b}[2J\\u{202e}",
        "+▾ opt/",
        "+    NEW",
        " ▾ usr/",
        "   ▾ lib/",
        "       one.so",
        "       two.so",
    ];
    state.open.extend(0..state.growth.len());
    press(&mut state, "m");
    assert_eq!(
        tree(&mut state),
        [
            "·▾ etc/",
            "·  ▾ app/",
            "~      conf",
            "-    gone",
            "+▾ opt/",
            "+    NEW"
        ]
    );
    press(&mut state, "m");
    assert_eq!(tree(&mut state), all);
    press(&mut state, "[");
    let below = tree(&mut state);
    assert_eq!((below.len(), below[6].as_str()), (12, "+    gone"));
    // Of what was removed it is said where.
    press(&mut state, "] /gone Enter");
    assert_eq!(seen(&mut state, 93, 14)[12], "/etc/gone  removed by layer 1");
    assert_eq!(press(&mut state, "Enter"), Action::Nothing);
    assert_eq!(state.note, "it was removed here; in a layer below it can be read");
}

#[test]
fn directories_fold_and_the_choice_stays_where_it_was() {
    let mut state = state();
    press(&mut state, "Tab Right");
    assert_eq!(
        tree(&mut state),
        ["+▾ bin/", "+    sh -> dash", "+    su", "+▸ etc/", "+▸ usr/"]
    );
    press(&mut state, "Right Down");
    assert_eq!(state.cursor, 2);
    // From a file to its directory, and that is folded then.
    press(&mut state, "Left");
    assert_eq!(state.cursor, 0);
    press(&mut state, "Left Enter Down Down Down");
    assert_eq!((state.cursor, tree(&mut state).len()), (3, 5));
    // etc is chosen, and stays so where lines before it go and come.
    press(&mut state, "]");
    assert_eq!(state.cursor, 3);
    press(&mut state, "m");
    assert_eq!(
        (state.cursor, tree(&mut state)),
        (0, vec!["·▸ etc/".to_owned(), "+▸ opt/".to_owned()])
    );
    press(&mut state, "m G *");
    assert_eq!(tree(&mut state).len(), 9);
    press(&mut state, "G - g");
    assert_eq!((state.cursor, tree(&mut state).len()), (0, 4));
}

#[test]
fn the_chosen_line_is_seen_and_the_others_stand_still() {
    let mut state = state();
    state.open.extend(0..state.growth.len());
    press(&mut state, "Tab m m G");
    let lines = seen(&mut state, 40, 9);
    let named = |lines: &[String]| [2, 6].map(|line: usize| lines[line].rsplit(' ').next().map(str::to_owned));
    let names = |first: &str, last: &str| [Some(first.to_owned()), Some(last.to_owned())];
    assert_eq!(named(&lines), names("x\\u{1b}[2J\\u{202e}", "two.so"));
    press(&mut state, "Up Up");
    assert_eq!(seen(&mut state, 40, 9)[2..7], lines[2..7]);
    press(&mut state, "Up Up Up");
    assert_eq!(named(&seen(&mut state, 40, 9)), names("gone", "one.so"));
    // Where what was chosen is folded away, the directory that it is in is.
    press(&mut state, "/conf Enter -");
    assert_eq!((state.cursor, tree(&mut state).len()), (1, 3));
}

#[test]
fn search_goes_round_and_unfolds_what_it_finds() {
    let mut state = state();
    press(&mut state, "/.so Enter");
    let chosen = |state: &State| {
        state
            .chosen()
            .map(|number| state.growth.path(number).expect("a path"))
            .unwrap_or_default()
    };
    assert_eq!(
        (chosen(&state), state.focus),
        (b"usr/lib/one.so".to_vec(), Focus::Files)
    );
    for (keys, path) in [
        ("n", "usr/lib/two.so"),
        ("n", "usr/lib/one.so"),
        ("N", "usr/lib/two.so"),
        ("N", "usr/lib/one.so"),
        // What is chosen already is found where it is.
        ("/.so Enter", "usr/lib/one.so"),
        ("/app/c Enter", "etc/app/conf"),
        ("/[ab]* Enter", "bin"),
        ("/lib/*.so Enter", "bin"),
        ("/usr/** Enter", "usr/lib"),
        // A large letter means itself.
        ("/NEW Enter", "usr/lib"),
        ("] n", "opt/NEW"),
        ("g /new Enter", "opt/NEW"),
        ("g /New Enter", "bin"),
    ] {
        press(&mut state, keys);
        assert_eq!(String::from_utf8_lossy(&chosen(&state)), path, "{keys}");
    }
    assert_eq!(state.note, "nothing here is called so");
    press(&mut state, "/abc Back Back Back Back");
    assert_eq!(state.prompt, None);
    let terminal = {
        press(&mut state, "/ab");
        drawn(&mut state, 93, 14, false)
    };
    let mut terminal = terminal;
    terminal.backend_mut().assert_cursor_position((10, 13));
}

#[test]
fn a_filter_shows_what_it_means_and_the_way_to_it() {
    let mut state = state();
    press(&mut state, "f *.so Enter");
    assert_eq!(state.filter, " *.so".trim_start());
    assert_eq!(
        tree(&mut state),
        ["+▾ usr/", "+  ▾ lib/", "+      one.so", "+      two.so"]
    );
    assert!(seen(&mut state, 93, 14)[1].ends_with("Files up to layer 0, 17 B, called \"*.so\""));
    press(&mut state, "fx Enter");
    assert!(seen(&mut state, 93, 14)[2].ends_with("│   nothing"));
    press(&mut state, "Esc");
    assert_eq!(tree(&mut state), ["+▸ bin/", "+▸ etc/", "+▸ usr/"]);
}

#[test]
fn files_are_read_and_looked_through() {
    let mut state = state();
    let action = press(&mut state, "/su Enter Enter");
    let Action::Read(number) = action else {
        panic!("{action:?}")
    };
    assert_eq!(
        (state.growth.path(number).expect("a path"), state.reading),
        (b"bin/su".to_vec(), true)
    );
    assert_eq!(press(&mut state, "Esc"), Action::Cancel);
    assert!(!state.reading);
    press(&mut state, "Enter");
    state.read(Err("it is broken".to_owned()));
    assert_eq!(seen(&mut state, 93, 9)[8], "it is broken");
    press(&mut state, "Enter");
    let text: String = (0..100).map(|line| format!("line {line}\n")).collect();
    state.read(Ok(Sheet::file(b"bin/su", text.as_bytes(), text.len() as u64)));
    let lines = seen(&mut state, 60, 9);
    assert_eq!(lines[..3], ["/bin/su", "line 0", "line 1"]);
    assert_eq!(
        lines[7..],
        ["6 of 100 lines", "arrows move  / search  n next  Esc back"]
    );
    press(&mut state, "Down Right");
    assert_eq!(seen(&mut state, 60, 9)[1], "");
    press(&mut state, "Left G");
    assert_eq!(seen(&mut state, 60, 9)[7], "100 of 100 lines");
    press(&mut state, "/line Enter");
    press(&mut state, "/7 Enter");
    assert_eq!(seen(&mut state, 60, 9)[1], "line 97");
    press(&mut state, "n");
    assert_eq!(seen(&mut state, 60, 9)[1], "line 7");
    press(&mut state, "q");
    assert!(state.sheet.is_none());
    // What is no regular file has nothing in it.
    press(&mut state, "/sh Enter");
    assert_eq!(press(&mut state, "Enter"), Action::Nothing);
    assert_eq!(state.note, "only regular files have content");
}

#[test]
fn help_quits_and_signals_are_keys() {
    let mut state = state();
    press(&mut state, "?");
    assert!(
        seen(&mut state, 93, 40)
            .iter()
            .any(|line| line.starts_with("Tab            to the other side"))
    );
    for (keys, action) in [
        ("q", Action::Nothing),
        ("q", Action::Quit),
        ("^C", Action::Interrupt),
        ("^Z", Action::Suspend),
    ] {
        assert_eq!(press(&mut state, keys), action);
    }
    // Where a name is typed, letters are letters, and ^C is what it is.
    press(&mut state, "/q");
    assert_eq!(state.prompt.as_ref().map(|prompt| prompt.text.as_str()), Some("q"));
    assert_eq!(press(&mut state, "^C"), Action::Interrupt);
}

#[test]
fn colours_are_there_where_they_are_wanted() {
    let mut state = state();
    press(&mut state, "] Tab");
    for (colours, expected) in [(true, Color::Green), (false, Color::Reset)] {
        let terminal = drawn(&mut state, 93, 14, colours);
        let buffer = terminal.backend().buffer();
        let opt = &buffer[(38, 4)];
        assert_eq!((opt.symbol(), opt.fg), ("+", expected));
        // The chosen line is told by no colour.
        assert!(buffer[(38, 2)].modifier.contains(Modifier::REVERSED));
    }
}

#[test]
fn an_image_without_layers_is_walked_through_too() {
    let mut state = State::new(About::default(), grown(&[]));
    press(
        &mut state,
        "Tab Enter Right Left Down G [ ] m /x Enter n N * - Tab Down",
    );
    assert_eq!(
        seen(&mut state, 93, 14)[2],
        "                                     │   nothing"
    );
}
