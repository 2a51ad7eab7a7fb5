//! What this crate says of a phone, a document, a token, a revision or a key is what Python says of it.
//!
//! `scripts/vectors.py` writes the file from `lookup_core`; a test there holds it fresh.

use std::collections::HashSet;
use std::fmt::Write as _;

use _dataplane::apikey::{self, KeyId, Pepper};
use _dataplane::identity::{BlindIndex, BlindKeys, DocumentKind, Forms, LiveVersions};
use _dataplane::pairwise::Pair;
use _dataplane::refusal::{Refusal, echo};
use _dataplane::revision::RevisionKey;
use _dataplane::token;
use serde_json::{Value, json};

const VECTORS: &str = include_str!("../../../tests/vectors/identity.json");

struct Vectors(Value);

impl Vectors {
    fn read() -> Self {
        Self(serde_json::from_str(VECTORS).expect("the vectors are JSON"))
    }

    fn key(&self, name: &str) -> [u8; 32] {
        let text = self.0["keys"][name].as_str().expect("a key");
        std::array::from_fn(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).expect("hex"))
    }

    fn blind_keys(&self) -> BlindKeys {
        BlindKeys::new(&self.key("phone"), &self.key("document"))
    }

    /// Three versions of the keys.
    fn chain(&self) -> BlindKeys {
        let keys = self.blind_keys();
        for version in [2, 3] {
            let [phone, document] = ["phone", "document"].map(|kind| self.key(&format!("{kind}_{version}")));
            assert!(keys.add(&phone, &document));
        }
        keys
    }

    /// Hold what `answer` says of each case of a section to what stands there.
    fn hold(&self, section: &str, answer: impl Fn(&str, &Value) -> Result<Value, Refusal>) {
        let cases = self.0[section].as_array().expect("a list");
        assert!(cases.len() > 50, "{section} has few cases");
        for case in cases {
            let text = spelled(&case["text"]);
            let said = answer(&text, case)
                .unwrap_or_else(|refusal| json!({"refused": [refusal.reason.name(), refusal.field, refusal.message]}));
            for (name, value) in said.as_object().expect("fields") {
                assert_eq!(&case[name], value, "{section}: {case}");
            }
            assert_eq!(case.get("refused"), said.get("refused"), "{section}: {case}");
        }
    }
}

fn spelled(text: &Value) -> String {
    if let Some(text) = text.as_str() {
        return text.to_owned();
    }
    let times = text["times"].as_u64().and_then(|times| usize::try_from(times).ok());
    text["repeat"]
        .as_str()
        .expect("a unit")
        .repeat(times.expect("a number"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn phone(keys: &BlindKeys, text: &str) -> Result<BlindIndex, Refusal> {
    let forms = keys.phone(text, LiveVersions::FIRST)?;
    Ok(forms.expect("the first key is there").newest)
}

fn document(keys: &BlindKeys, kind: DocumentKind, text: &str) -> Result<BlindIndex, Refusal> {
    let forms = keys.document(kind, text, LiveVersions::FIRST)?;
    Ok(forms.expect("the first key is there").newest)
}

/// The indexes under every version, oldest first; in a rotation the older form is that of the version before.
fn versions_of(forms: impl Fn(LiveVersions) -> Option<Forms>) -> Vec<String> {
    let of = |oldest, newest| forms(LiveVersions::of(oldest, newest).expect("versions")).expect("we have the keys");
    let indexes = [1, 2, 3].map(|version| of(version, version).newest);
    for newest in [2, 3] {
        let rotating = of(newest - 1, newest);
        let [before, after] = [newest - 2, newest - 1].map(|place| indexes[place as usize]);
        assert_eq!((rotating.newest, rotating.older), (after, Some(before)));
    }
    indexes.iter().map(|index| hex(index)).collect()
}

#[test]
fn later_versions_wrap_as_they_do_in_python() {
    let vectors = Vectors::read();
    let keys = vectors.chain();
    let cases = vectors.0["versions"].as_array().expect("a list");
    assert!(cases.len() > 10);
    for case in cases {
        let text = case["text"].as_str().expect("a text");
        let indexes = match case["kind"].as_str().expect("a kind") {
            "phone" => versions_of(|live| keys.phone(text, live).expect("a phone")),
            kind => {
                let kind = DocumentKind::parse(kind).expect("a kind of document");
                versions_of(|live| keys.document(kind, text, live).expect("a document"))
            }
        };
        assert_eq!(json!(indexes), case["indexes"]);
    }
}

#[test]
fn a_phone_has_the_index_that_python_gives_it() {
    let vectors = Vectors::read();
    let keys = vectors.blind_keys();
    vectors.hold("phones", |text, _| Ok(json!({"index": hex(&phone(&keys, text)?)})));
}

#[test]
fn the_mobile_ranges_are_those_of_libphonenumber() {
    let vectors = Vectors::read();
    let keys = vectors.blind_keys();
    let prefixes = vectors.0["mobile_prefixes"].as_array().expect("a list");
    let mobile: HashSet<&str> = prefixes.iter().filter_map(Value::as_str).collect();
    assert_eq!(mobile.len(), prefixes.len());
    for prefix in 0..1000 {
        let prefix = format!("{prefix:03}");
        for rest in ["000000", "999999", "345678"] {
            let is_read = phone(&keys, &format!("+254{prefix}{rest}")).is_ok();
            assert_eq!(is_read, mobile.contains(&*prefix), "{prefix}{rest}");
        }
    }
}

/// Each character there is, as hex; and an index, if the text that `with` puts it into is read.
fn read_with(with: impl Fn(char) -> Result<BlindIndex, Refusal>) -> impl Iterator<Item = (String, BlindIndex)> {
    ('\0'..=char::MAX).filter_map(move |c| with(c).ok().map(|index| (format!("{:04x}", u32::from(c)), index)))
}

#[test]
fn no_other_sign_may_stand_in_a_phone_than_in_python() {
    let vectors = Vectors::read();
    let keys = vectors.blind_keys();
    let plain = phone(&keys, "0712345678").expect("a phone");
    let read: Vec<String> = read_with(|c| phone(&keys, &format!("07123{c}45678")))
        .map(|(sign, index)| {
            assert_eq!(index, plain, "{sign}");
            sign
        })
        .collect();
    assert_eq!(json!(read), vectors.0["signs_in_phones"]);
}

#[test]
fn every_sign_in_a_document_counts_as_it_does_in_python() {
    let vectors = Vectors::read();
    let keys = vectors.blind_keys();
    let of = |text: &str| document(&keys, DocumentKind::Military, text);
    let counts = vectors.0["signs_in_documents"].as_object().expect("a map");
    let mut read = 0;
    for (sign, index) in read_with(|c| of(&format!("KDF{c}12"))) {
        let counts_as = counts.get(&sign).and_then(Value::as_str).expect(&sign);
        assert_eq!(Ok(index), of(&format!("KDF{counts_as}12")), "{sign}");
        read += 1;
    }
    assert_eq!(read, counts.len());
}

#[test]
fn a_document_has_the_index_that_python_gives_it() {
    let vectors = Vectors::read();
    let keys = vectors.blind_keys();
    vectors.hold("documents", |text, case| {
        let kind = DocumentKind::parse(case["kind"].as_str().expect("a kind"))?;
        Ok(json!({"index": hex(&document(&keys, kind, text)?)}))
    });
}

#[test]
fn a_kind_of_document_is_read_as_python_reads_it() {
    Vectors::read().hold("kinds", |text, _| {
        Ok(json!({"kind": DocumentKind::parse(text)?.name()}))
    });
}

#[test]
fn a_token_is_read_as_python_reads_it() {
    Vectors::read().hold("tokens", |text, _| {
        let (version, read) = token::parse(text)?;
        assert!(
            token::format(version, &read)
                .eq_ignore_ascii_case(text.trim_matches(|c: char| !c.is_ascii_graphic()).as_bytes())
        );
        Ok(json!({"token": hex(&read), "version": (version as u8).to_string()}))
    });
}

#[test]
fn a_pairwise_token_opens_as_python_opens_it_and_is_made_as_python_makes_it() {
    let vectors = Vectors::read();
    let keys = [vectors.key("pairing"), vectors.key("older_pairing")];
    vectors.hold("pairwise", |text, case| {
        let (version, read) = token::parse(text)?;
        assert_eq!(version, token::Version::Pairwise);
        let operator = case["operator"].as_str().expect("an operator");
        let operator = std::array::from_fn(|n| u8::from_str_radix(&operator[2 * n..2 * n + 2], 16).expect("hex"));
        let pair = Pair::of(&keys, operator);
        let opened = pair.open(read).map_or(String::new(), |opened| {
            let older = Pair::of(&keys[1..], operator);
            let made = if opened.is_by_newest_key { &pair } else { &older }.mint(opened.holder);
            assert_eq!(made, Some(read));
            let (number, generation) = (opened.holder.number, opened.holder.generation);
            format!("{number} {generation} {}", opened.is_by_newest_key)
        });
        Ok(json!({ "opened": opened }))
    });
}

#[test]
fn a_revision_token_is_opened_and_sealed_as_python_does() {
    let vectors = Vectors::read();
    let key = RevisionKey::new(&vectors.key("revision"));
    vectors.hold("revisions", |text, _| {
        let (store, revision) = key.open(text)?;
        assert_eq!(key.seal(&store, revision), text);
        Ok(json!({"store": hex(&store), "revision": revision.to_string()}))
    });
}

#[test]
fn an_api_key_is_read_and_hashed_as_python_does() {
    let vectors = Vectors::read();
    let pepper = Pepper::new(&vectors.key("pepper"));
    vectors.hold("api_keys", |text, _| {
        let id = apikey::parse(text).map(KeyId::as_str)?;
        Ok(json!({"id": id, "mac": hex(&pepper.mac(text))}))
    });
}

#[test]
fn what_was_sent_is_shown_as_python_shows_it() {
    Vectors::read().hold("echoes", |text, _| Ok(json!({"shown": echo(text)})));
}
