//! A file of credentials that anyone wrote.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| teu_transport::remote::fuzz::auth_file(raw));
