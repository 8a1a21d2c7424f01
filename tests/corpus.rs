//! Runs the assertions of the fuzz targets on the committed corpora: inputs that the fuzzer kept and inputs that once
//! failed.

use std::fs;
use std::path::Path;

use crate::support::claims;

/// Checks the claim of a fuzz target with every file of the target's corpus.
fn replay(target: &str, claim: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 9, "{} has only {} files", directory.display(), files.len());
    for file in files {
        // The test harness shows this only if the claim fails.
        println!("{}", file.display());
        claim(&fs::read(&file).unwrap());
    }
}

#[test]
fn the_corpus_of_envelopes() {
    replay("envelope", claims::envelope);
}

#[test]
fn the_corpus_of_yaml() {
    replay("yaml", claims::yaml);
}

#[test]
fn the_corpus_of_pretty() {
    replay("pretty", claims::pretty);
}

#[test]
fn the_corpus_of_entities() {
    replay("entity", claims::entity);
}

#[test]
fn the_corpus_of_client_configurations() {
    replay("client_config", claims::client_config);
}

#[test]
fn the_corpus_of_recordings() {
    replay("replay", claims::replay);
}

#[test]
fn the_corpus_of_events_with_secrets() {
    replay("redact", claims::redact);
}
