//! Which number of an owner becomes which? [`Ranges`]: in a tree no number has two meanings, and neither has one outside of it.

use std::fmt;

use crate::{Error, ErrorKind, Result};

/// A range of owners' numbers and what they become. It is written `INSIDE:OUTSIDE:COUNT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first number in the tree.
    pub inside: u32,
    /// What it becomes outside.
    pub outside: u32,
    /// How many follow each other.
    pub count: u32,
}

impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.inside, self.outside, self.count)
    }
}

/// Ranges of which none overlaps another, on either side. Without any each number stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range>);

impl Ranges {
    /// These ranges, in their order.
    ///
    /// # Errors
    /// `Invalid` where two overlap, where one has no number, or has 4294967295, which is nobody's.
    pub fn new(ranges: Vec<Range>) -> Result<Self> {
        for range in &ranges {
            let fits = |first: u32| range.count > 0 && first.checked_add(range.count).is_some();
            if !fits(range.inside) || !fits(range.outside) {
                let message = format!(
                    "the range {range}: the numbers of a map go from 0 to 4294967294, and there is at least one"
                );
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        for first in [|range: &Range| range.inside, |range: &Range| range.outside] {
            let mut sorted: Vec<&Range> = ranges.iter().collect();
            sorted.sort_by_key(|range| first(range));
            let overlap = sorted
                .windows(2)
                .find(|pair| first(pair[1]) - first(pair[0]) < pair[0].count);
            if let Some([one, other]) = overlap {
                let message =
                    format!("the ranges {one} and {other} overlap; a number can be in one range only, on either side");
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
        Ok(Self(ranges))
    }

    /// Whether each number stays as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in their order.
    #[must_use]
    pub fn as_slice(&self) -> &[Range] {
        &self.0
    }

    /// What a number of the tree becomes; none where it is in no range.
    pub(crate) fn map(&self, number: u32) -> Option<u32> {
        self.find(number, |range| (range.inside, range.outside))
    }

    /// Of which number of the tree one was made.
    pub(crate) fn unmap(&self, number: u32) -> Option<u32> {
        self.find(number, |range| (range.outside, range.inside))
    }

    fn find(&self, number: u32, ends: impl Fn(&Range) -> (u32, u32)) -> Option<u32> {
        if self.0.is_empty() {
            return Some(number);
        }
        self.0.iter().find_map(|range| {
            let (from, to) = ends(range);
            let offset = number.checked_sub(from).filter(|offset| *offset < range.count)?;
            // No range wraps.
            Some(to + offset)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(all: &[(u32, u32, u32)]) -> Result<Ranges> {
        let range = |(inside, outside, count): &(u32, u32, u32)| Range {
            inside: *inside,
            outside: *outside,
            count: *count,
        };
        Ranges::new(all.iter().map(range).collect())
    }

    #[test]
    fn no_number_has_two_meanings() {
        for (all, said) in [
            (
                &[(0, 1000, 10), (5, 3000, 10)][..],
                Some("0:1000:10 and 5:3000:10 overlap"),
            ),
            (&[(5, 3000, 10), (0, 1000, 10)], Some("0:1000:10 and 5:3000:10 overlap")),
            (&[(0, 1000, 10), (10, 1009, 1)], Some("0:1000:10 and 10:1009:1 overlap")),
            (&[(0, 1000, 1), (0, 1000, 1)], Some("overlap")),
            (&[(0, 0, u32::MAX), (7, 0, 1)], Some("overlap")),
            (
                &[(0, 0, 0)],
                Some("0:0:0: the numbers of a map go from 0 to 4294967294"),
            ),
            (&[(1, 0, u32::MAX)], Some("1:0:4294967295: the numbers")),
            (&[(0, u32::MAX, 1)], Some("0:4294967295:1: the numbers")),
            (&[(0, 1000, 10), (10, 990, 10)], None),
            (&[(0, 0, u32::MAX)], None),
            (&[], None),
        ] {
            match (ranges(all), said) {
                (Ok(_), None) => {}
                (Err(error), Some(said)) => {
                    assert_eq!(error.kind(), ErrorKind::Invalid);
                    assert!(error.to_string().contains(said), "{all:?}: {error}");
                }
                (outcome, _) => panic!("{all:?}: {outcome:?}"),
            }
        }
    }

    #[test]
    fn a_number_goes_there_and_back() {
        let some = ranges(&[(0, 1000, 1), (1, 100_000, 65_535)]).unwrap();
        for (ranges, inside, outside) in [
            (&some, 0, Some(1000)),
            (&some, 1, Some(100_000)),
            (&some, 65_535, Some(165_534)),
            (&some, 65_536, None),
            (&Ranges::default(), 7, Some(7)),
        ] {
            assert_eq!(ranges.map(inside), outside);
            if let Some(outside) = outside {
                assert_eq!(ranges.unmap(outside), Some(inside));
            }
        }
        assert_eq!(some.unmap(0), None);
    }
}
