//! How is a share of a whole written? A number from 0 to 1, never one that nothing is compared with.

/// The efficiency that is asked for.
pub(crate) fn efficiency(text: &str) -> Result<f64, String> {
    let share = number(text)?;
    match share {
        0.0..=1.0 => Ok(share),
        _ => Err(outside("an efficiency is from 0 to 1", text, share)),
    }
}

/// How much may be wasted. As dive counts it, that can be more than the whole.
pub(crate) fn wasted(text: &str) -> Result<f64, String> {
    let share = number(text)?;
    match share {
        0.0..2.0 => Ok(share),
        _ => Err(outside("what is wasted is a share, 0.1 for ten percent", text, share)),
    }
}

fn number(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| format!("{text:?} is no share; write a number such as 0.95"))
}

fn outside(what: &str, text: &str, share: f64) -> String {
    match share {
        2.0..=100.0 => format!("{what}, and not {text}; {} is perhaps meant", share / 100.0),
        _ => format!("{what}, and not {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_numbers_that_something_can_be_past() {
        for (text, share) in [("0", 0.0), ("0.95", 0.95), ("1", 1.0), ("1e-1", 0.1)] {
            assert_eq!((efficiency(text), wasted(text)), (Ok(share), Ok(share)), "{text}");
        }
        assert_eq!(wasted("1.5"), Ok(1.5));
        for text in [
            "nan", "NaN", "-nan", "inf", "infinity", "-inf", "1e999", "-0.1", "", "x", "10%", "2", "95",
        ] {
            assert!(efficiency(text).is_err() && wasted(text).is_err(), "{text}");
        }
        assert_eq!(
            efficiency("1.01"),
            Err("an efficiency is from 0 to 1, and not 1.01".to_owned())
        );
        let hint = "what is wasted is a share, 0.1 for ten percent, and not 10; 0.1 is perhaps meant";
        assert_eq!(wasted("10"), Err(hint.to_owned()));
        assert_eq!(
            wasted("nan"),
            Err("\"nan\" is no share; write a number such as 0.95".to_owned())
        );
    }
}
