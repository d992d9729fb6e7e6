//! What did an image ask for, and not get?

use serde_json::{Value, json};
use teu_image::unpack::{PassedOver, Report};

use crate::settings::Settings;

/// How much of it, for programs.
pub(super) fn as_json(report: &Report) -> Value {
    json!({
        "devices": report.devices.count,
        "xattrs": report.xattrs.count,
        "setId": report.set_id.count,
        "owners": report.owners.count,
    })
}

/// Says it, with an example; `devices` is what to do for them.
pub(super) fn warn(report: &Report, devices: &str, settings: &Settings) {
    let say = |passed: &PassedOver, what: &str, why: &str| {
        if let Some(first) = passed.examples.first() {
            let more = match passed.count {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            settings.warn(&format!("{what}: {}{more}{why}", teu_archive::Escaped(first)));
        }
    };
    say(&report.devices, "devices not made", devices);
    say(&report.xattrs, "extended attributes not set", "");
    if report.withheld.lost > 0 {
        settings.warn(&format!(
            "there are too many of these to keep all in mind: what teu repack writes of {} files is without them",
            report.withheld.lost
        ));
    }
    say(&report.set_id, "set-id bits not set", "");
    say(&report.owners, "owners neither set nor written down", "");
}
