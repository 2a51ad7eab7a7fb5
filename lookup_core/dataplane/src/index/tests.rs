//! What the index holds after changes: one person by each of their keys, and nothing of them lost in between.

use prost::bytes::Bytes;

use super::*;
use crate::people::{NUMBERS, Person};
use crate::proto::feed::v1::statement::About;
use crate::proto::feed::v1::{Change, ExclusionStated, KeyStated, PersonStated, Statement};
use crate::rules::Kept;

pub(crate) const PHONE: [u8; 16] = *b"pppppppppppppppp";
pub(crate) const OTHER_PHONE: [u8; 16] = *b"qqqqqqqqqqqqqqqq";
pub(crate) const DOCUMENT: [u8; 16] = *b"dddddddddddddddd";
pub(crate) const TOKEN: [u8; 16] = *b"tttttttttttttttt";
const OLD_TOKEN: [u8; 16] = *b"oooooooooooooooo";
pub(crate) const ONE: [u8; 16] = *b"exclusion number";
pub(crate) const OTHER: [u8; 16] = *b"another of these";

/// Some key; another for each number.
pub(crate) fn key(number: u64) -> [u8; 16] {
    (u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).to_le_bytes()
}

pub(crate) fn bytes(keys: &[[u8; 16]]) -> Vec<Bytes> {
    keys.iter().map(|key| Bytes::copy_from_slice(key)).collect()
}

pub(crate) fn person(number: u64, phones: &[[u8; 16]], documents: &[[u8; 16]]) -> PersonStated {
    PersonStated {
        person_no: number,
        phones: bytes(phones),
        documents: bytes(documents),
        ..PersonStated::default()
    }
}

pub(crate) fn with_token(person: PersonStated, token: [u8; 16]) -> PersonStated {
    PersonStated {
        token: Bytes::copy_from_slice(&token),
        ..person
    }
}

pub(crate) fn exclusion(number: u64, id: [u8; 16], excludes: bool) -> ExclusionStated {
    ExclusionStated {
        exclusion_id: Bytes::copy_from_slice(&id),
        person_no: number,
        excludes,
    }
}

impl From<PersonStated> for Statement {
    fn from(stated: PersonStated) -> Self {
        Self {
            about: Some(About::Person(stated)),
        }
    }
}

impl From<ExclusionStated> for Statement {
    fn from(stated: ExclusionStated) -> Self {
        Self {
            about: Some(About::Exclusion(stated)),
        }
    }
}

impl From<KeyStated> for Statement {
    fn from(stated: KeyStated) -> Self {
        Self {
            about: Some(About::Key(stated)),
        }
    }
}

pub(crate) fn change<const N: usize>(statements: [Statement; N]) -> Change {
    Change {
        statements: statements.into(),
    }
}

/// An index to which each statement was applied as a revision of its own.
fn index_after<const N: usize>(statements: [Statement; N]) -> Index {
    let index = Index::new([7; 16]);
    for (revision, statement) in (1..).zip(statements) {
        index.apply(revision, &change([statement])).unwrap();
    }
    index
}

pub(crate) fn holders(index: &Index, kind: Kind, key: [u8; 16]) -> Vec<Person> {
    let (key, mut found) = (Key::from_le_bytes(key), Vec::new());
    index.table(kind).view().each(key, |number| {
        found.extend(index.people.read(number).filter(|person| person.has(kind, key)));
    });
    found.sort_by_key(|person: &Person| person.number);
    found
}

pub(crate) fn numbers(index: &Index, kind: Kind, key: [u8; 16]) -> Vec<u64> {
    holders(index, kind, key).iter().map(|person| person.number).collect()
}

fn is_excluded(index: &Index, kind: Kind, key: [u8; 16]) -> bool {
    holders(index, kind, key).iter().any(|person| person.meta.is_excluded())
}

#[test]
fn a_person_is_found_by_each_of_their_keys() {
    let stated = with_token(person(1, &[PHONE, OTHER_PHONE], &[DOCUMENT]), TOKEN);
    let index = index_after([stated.into(), exclusion(1, ONE, true).into()]);
    for (kind, key) in [
        (Kind::Phone, PHONE),
        (Kind::Phone, OTHER_PHONE),
        (Kind::Document, DOCUMENT),
        (Kind::Token, TOKEN),
    ] {
        assert_eq!(numbers(&index, kind, key), [1]);
        assert!(is_excluded(&index, kind, key));
    }
    assert_eq!(
        (index.counts(), index.revision()),
        (Counts { people: 1, excluded: 1 }, 2)
    );
}

#[test]
fn a_person_stays_excluded_until_their_last_exclusion_leaves() {
    let index = index_after([
        person(1, &[PHONE], &[]).into(),
        exclusion(1, ONE, true).into(),
        exclusion(1, OTHER, true).into(),
        exclusion(1, ONE, false).into(),
    ]);
    assert!(is_excluded(&index, Kind::Phone, PHONE));
    index.apply(5, &change([exclusion(1, OTHER, false).into()])).unwrap();
    assert!(!is_excluded(&index, Kind::Phone, PHONE));
    assert_eq!(index.counts(), Counts { people: 1, excluded: 0 });
}

#[test]
fn an_exclusion_stated_twice_counts_once() {
    let index = index_after([
        person(1, &[PHONE], &[]).into(),
        exclusion(1, ONE, true).into(),
        exclusion(1, ONE, true).into(),
        exclusion(1, ONE, false).into(),
    ]);
    assert_eq!(index.counts().excluded, 0);
}

#[test]
fn stating_a_person_again_keeps_their_exclusions() {
    let index = index_after([
        person(1, &[PHONE], &[]).into(),
        exclusion(1, ONE, true).into(),
        person(1, &[OTHER_PHONE], &[DOCUMENT]).into(),
    ]);
    assert!(numbers(&index, Kind::Phone, PHONE).is_empty());
    assert!(is_excluded(&index, Kind::Phone, OTHER_PHONE));
    assert!(is_excluded(&index, Kind::Document, DOCUMENT));
}

#[test]
fn a_shared_phone_leads_to_everybody_who_has_it() {
    let both = [person(1, &[PHONE], &[]).into(), person(2, &[PHONE], &[]).into()];
    let index = index_after(both);
    assert_eq!(numbers(&index, Kind::Phone, PHONE), [1, 2]);
    index.apply(3, &change([person(1, &[], &[]).into()])).unwrap();
    assert_eq!(numbers(&index, Kind::Phone, PHONE), [2]);
}

#[test]
fn a_rotated_token_still_leads_to_its_person() {
    let rotated = PersonStated {
        rotated_tokens: bytes(&[OLD_TOKEN]),
        ..with_token(person(1, &[], &[]), TOKEN)
    };
    let index = index_after([with_token(person(1, &[], &[]), OLD_TOKEN).into(), rotated.into()]);
    let found = &holders(&index, Kind::Token, OLD_TOKEN)[0];
    assert_eq!(found.first(Kind::Token), Some(Key::from_le_bytes(TOKEN)));
    assert!(found.is_rotated(Key::from_le_bytes(OLD_TOKEN)));
}

#[test]
fn a_revoked_key_is_there_and_not_active() {
    let key = |active| KeyStated {
        key_id: "k".into(),
        mac: Bytes::from_static(&[1; 32]),
        operator_id: Bytes::from_static(&[2; 16]),
        scopes: vec!["nser:read".into()],
        active,
        ..KeyStated::default()
    };
    let index = index_after([key(true).into(), key(false).into()]);
    assert!(!index.credential("k").unwrap().active);
    assert!(index.credential("another").is_none());
}

#[test]
fn the_index_is_moving_from_the_first_store_to_the_last() {
    let index = Index::new([7; 16]);
    let stated = change([person(1, &[PHONE], &[]).into(), exclusion(1, ONE, true).into()]);
    let mut applying = index.applying::<Kept>(1, &stated).unwrap();
    assert!(!index.version.is_moving());
    let mut seen = Vec::new();
    while applying.step() {
        seen.push((index.version.is_moving(), index.revision()));
    }
    assert_eq!(seen.pop(), Some((false, 1)));
    assert_eq!(
        seen.pop(),
        Some((true, 1)),
        "the revision is stored last, before the end is told"
    );
    assert!(seen.iter().all(|each| *each == (true, 0)));
}

#[test]
fn a_change_that_was_left_half_made_closes_the_index_for_more() {
    let index = Index::new([7; 16]);
    let stated = change([person(1, &[PHONE], &[]).into()]);
    assert!(index.applying::<Kept>(1, &stated).unwrap().step());
    assert!(index.apply(1, &stated).is_err());
    assert!(index.version.is_moving());
}

#[test]
fn what_is_not_fit_changes_nothing() {
    let fit = || Statement::from(person(1, &[PHONE], &[]));
    let short = |range: usize| Bytes::copy_from_slice(&PHONE[..range]);
    let unfit: Vec<Statement> = vec![
        PersonStated {
            phones: vec![short(15)],
            ..person(1, &[], &[])
        }
        .into(),
        PersonStated {
            documents: vec![short(0)],
            ..person(1, &[], &[])
        }
        .into(),
        PersonStated {
            token: short(1),
            ..person(1, &[], &[])
        }
        .into(),
        PersonStated {
            rotated_tokens: vec![short(3)],
            ..person(1, &[], &[])
        }
        .into(),
        PersonStated {
            revoked_tokens: vec![short(3)],
            ..person(1, &[], &[])
        }
        .into(),
        PersonStated {
            risk_level: 8,
            ..person(1, &[], &[])
        }
        .into(),
        PersonStated {
            last_assessment_ms: -1,
            ..person(1, &[], &[])
        }
        .into(),
        PersonStated {
            last_assessment_ms: 1 << 48,
            ..person(1, &[], &[])
        }
        .into(),
        person(NUMBERS, &[], &[]).into(),
        person(u64::MAX, &[], &[]).into(),
        exclusion(NUMBERS, ONE, true).into(),
        ExclusionStated {
            exclusion_id: short(15),
            ..exclusion(1, ONE, true)
        }
        .into(),
        KeyStated {
            mac: Bytes::from_static(&[1; 32]),
            ..KeyStated::default()
        }
        .into(),
        KeyStated {
            operator_id: short(16),
            ..KeyStated::default()
        }
        .into(),
        Statement { about: None },
    ];
    for statement in unfit {
        let index = Index::new([7; 16]);
        assert!(
            index.apply(1, &change([fit(), statement.clone()])).is_err(),
            "{statement:?}"
        );
        assert!(!index.version.is_moving());
        assert_eq!((index.counts(), index.revision()), (Counts::default(), 0));
        assert!(numbers(&index, Kind::Phone, PHONE).is_empty());
    }
}

#[test]
fn everything_told_of_a_person_is_held_to_its_limits() {
    let stated = PersonStated {
        risk_level: 7,
        requires_screening: true,
        last_assessment_ms: (1 << 48) - 1,
        previously_excluded: true,
        pairwise_generation: 65_535,
        ..person(NUMBERS - 1, &[PHONE], &[])
    };
    let person = &holders(&index_after([stated.into()]), Kind::Phone, PHONE)[0];
    let (held, generation) = (person.meta, person.generation);
    assert_eq!(generation, u16::MAX);
    assert_eq!((held.risk_level(), held.last_assessment_ms()), (7, (1 << 48) - 1));
    assert!(held.requires_screening() && held.previously_excluded() && !held.is_excluded());
}

#[test]
fn a_loaded_index_is_as_one_that_followed_in_whatever_order() {
    type Call = fn(&Index) -> Result<(), Unfit>;
    let calls: [Call; 7] = [
        |index| index.put_person(1, 3, true, 99),
        |index| index.put_generation(1, 8),
        |index| index.put_identifier(1, Kind::Phone, PHONE),
        |index| index.put_identifier(1, Kind::Phone, OTHER_PHONE),
        |index| index.put_token(1, TOKEN, TokenState::Live),
        |index| index.put_token(1, OLD_TOKEN, TokenState::Revoked),
        |index| {
            index
                .put_exclusion(1, ONE, false)
                .and_then(|()| index.put_exclusion(1, OTHER, true))
        },
    ];
    for (first, puts_off_tables) in (0..calls.len()).flat_map(|first| [(first, false), (first, true)]) {
        let index = Index::new([7; 16]);
        if puts_off_tables {
            index.put_off_tables();
        }
        for at in 0..calls.len() {
            calls[(first + at) % calls.len()](&index).unwrap();
        }
        assert_eq!(
            index.version.is_moving(),
            puts_off_tables,
            "nobody is cleared without tables"
        );
        index.stamp(9);
        assert!(!index.version.is_moving());
        assert_eq!(
            (index.counts(), index.revision()),
            (Counts { people: 1, excluded: 1 }, 9)
        );
        for (kind, key) in [
            (Kind::Phone, PHONE),
            (Kind::Phone, OTHER_PHONE),
            (Kind::Token, TOKEN),
            (Kind::Token, OLD_TOKEN),
        ] {
            let found = &holders(&index, kind, key)[0];
            assert!(found.meta.is_excluded() && found.meta.previously_excluded() && found.meta.requires_screening());
            assert_eq!((found.meta.risk_level(), found.meta.last_assessment_ms()), (3, 99));
            assert_eq!(found.generation, 8);
        }
        assert!(
            index.put_token(1, PHONE, TokenState::Live).is_err(),
            "a second live token"
        );
        assert!(index.put_person(NUMBERS, 0, false, 0).is_err());
    }
}
