//! An image's configuration that nobody vouches for: read, and printed as Go prints it, which reads as the same again.

use teu_spec::ImageConfig;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(config) = ImageConfig::parse(bytes.to_vec().into()) else {
        return;
    };
    assert_eq!(config.raw(), bytes);
    let _ = config.platform().normalized();
    assert!(config.check_layers(config.diff_ids().len() + 1).is_err());
    let Ok(printed) = config.to_go_json("    ") else {
        return;
    };
    let again = ImageConfig::parse(printed.clone().into()).unwrap();
    assert_eq!(again.to_go_json("    ").unwrap(), printed);
    assert_eq!(again.platform(), config.platform());
    assert_eq!(again.diff_ids(), config.diff_ids());
    assert_eq!(again.created().unwrap(), config.created().unwrap());
}
