//! A pattern of paths, and paths: what has no sign in it means itself and what is below it, and whatever is meant is covered.

use teu_image::glob::Pattern;

pub(crate) fn run(input: (&[u8], &[u8])) {
    let (text, path) = input;
    let Ok(pattern) = Pattern::new(text) else { return };
    assert_eq!(pattern.as_bytes(), text);
    assert!(!pattern.matches(path) || pattern.covers(path));
    let below = [path, b"/below"].concat();
    assert!(!pattern.covers(path) || pattern.covers(&below));
    if !text.iter().any(|byte| br"*?[\/.".contains(byte)) {
        assert_eq!(pattern.matches(path), text == path);
        assert!(pattern.covers(&[text, b"/a"].concat()));
    }
}
