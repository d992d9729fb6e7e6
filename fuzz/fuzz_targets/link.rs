//! `Link` of a registry that nobody vouches for: it never leads to another host.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|header: &str| teu_transport::remote::fuzz::link(header));
