//! Making one revision's change visible, store by store.
//!
//! A reader may run between any two stores: the version is odd meanwhile, new keys lead to a person before old ones
//! cease to, and the revision is stored last. What takes long (reading the change, tables that grow) is done before the
//! version is odd, so that readers look again for microseconds only.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;
use std::vec;

use parking_lot::MutexGuard;

use crate::change::{Stated, Unfit, statements};
use crate::identity::LiveVersions;
use crate::in_force::Checking;
use crate::index::{Credentials, Index};
use crate::people::{ExclusionId, Key, Kind, Part, Readers, Whole};
use crate::picture::Aside;
use crate::proto::feed::v1::Change;
use crate::rules::Rules;

impl Index {
    /// Make one revision's change visible. The caller has checked that it is the next one. On `Err` nothing was changed.
    pub fn apply(&self, revision: u64, change: &Change) -> Result<(), Unfit> {
        let mut applying = self.applying::<Checking>(revision, change)?;
        while applying.step() {}
        Ok(())
    }

    /// `apply` in single stores, so that a test can run readers in between.
    pub(crate) fn applying<R: Rules>(&self, revision: u64, change: &Change) -> Result<Applying<'_, R>, Unfit> {
        let stated = statements(change)?;
        let mut writer = self.writer.lock();
        if self.version.is_moving() {
            // A writer that panicked: what it left is neither the old nor the new, and stays closed.
            return Err(Unfit("an earlier change was left half made"));
        }
        self.make_room(&stated);
        writer.keep(&self.people, stated.iter().filter_map(Stated::number));
        let mut stores = VecDeque::from([Store::Begin]);
        let credentials = stated.iter().filter_map(|one| match one {
            Stated::Key(credential) => Some(credential.clone()),
            _ => None,
        });
        if stated.iter().any(|one| matches!(one, Stated::Key(_))) {
            stores.push_back(Store::Credentials(self.credentials_with(credentials)));
        }
        if let Some(live) = self.next_versions(&stated)? {
            stores.push_back(Store::LiveVersions(live));
        }
        let end = [Store::Revision(revision), Store::End].into_iter();
        Ok(Applying {
            index: self,
            _writer: writer,
            stated: stated.into_iter(),
            stores,
            end,
            rules: PhantomData,
        })
    }

    /// The versions after this change, where it is a phase of a rotation; each follows from the one before.
    fn next_versions(&self, stated: &[Stated]) -> Result<Option<LiveVersions>, Unfit> {
        let before = self.live_versions();
        let mut phases = stated.iter().filter_map(|one| match one {
            Stated::BlindKey(next) => Some(*next),
            _ => None,
        });
        let Some(next) = phases.next() else { return Ok(None) };
        let follows = next.oldest == before.newest && before.is_rotation() != next.is_rotation();
        if phases.next().is_some() || !follows {
            return Err(Unfit("a phase of a rotation does not follow from the one before"));
        }
        Ok(Some(next))
    }

    fn make_room(&self, stated: &[Stated]) {
        for kind in Kind::ALL {
            let pairs = stated.iter().flat_map(|one| one.pairs(kind)).collect::<Vec<_>>();
            self.table(kind).make_room(&pairs, &self.people);
        }
        stated
            .iter()
            .filter_map(Stated::number)
            .for_each(|number| self.people.make_room(number));
    }
}

/// One store that readers may see.
enum Store {
    Begin,
    Credentials(Arc<Credentials>),
    LiveVersions(LiveVersions),
    Person(u64, Part),
    Insert(Kind, Key, u64),
    Remove(Kind, Key, u64, Vec<Key>),
    Revision(u64),
    End,
}

/// A change under way.
pub(crate) struct Applying<'a, R> {
    index: &'a Index,
    _writer: MutexGuard<'a, Aside>,
    stated: vec::IntoIter<Stated>,
    stores: VecDeque<Store>,
    end: std::array::IntoIter<Store, 2>,
    rules: PhantomData<R>,
}

impl<R: Rules> Applying<'_, R> {
    /// Make the next store; false when there is none left.
    pub(crate) fn step(&mut self) -> bool {
        while self.stores.is_empty() {
            match self.stated.next() {
                Some(Stated::Person { number, person }) => self.restate(number, person),
                Some(Stated::Exclusion { number, id, excludes }) => self.exclude(number, id, excludes),
                Some(Stated::Key(_) | Stated::BlindKey(_)) => {} // at the beginning
                None => match self.end.next() {
                    Some(store) => self.stores.push_back(store),
                    None => return false,
                },
            }
        }
        if let Some(store) = self.stores.pop_front() {
            self.make(store);
        }
        true
    }

    fn make(&self, store: Store) {
        let index = self.index;
        match store {
            Store::Begin => index.version.begin(),
            Store::Credentials(credentials) => index.store_credentials(credentials),
            Store::LiveVersions(live) => index.store_live_versions(live),
            Store::Person(number, part) => index.people.store(number, &part, Readers::Any),
            Store::Insert(kind, key, number) => index.table(kind).insert(key, number),
            Store::Remove(kind, key, number, remaining) => index.table(kind).remove(key, number, &remaining),
            Store::Revision(revision) => index.store_revision(revision),
            Store::End => index.version.end(),
        }
    }

    fn restate(&mut self, number: u64, stated: Whole) {
        let held = self.index.people.whole(number);
        let stated = Whole {
            phones: in_their_order(&held.phones, stated.phones),
            documents: in_their_order(&held.documents, stated.documents),
            exclusions: held.exclusions.clone(),
            ..stated
        };
        self.index.count(&held, &stated);
        let mut before = held;
        for after in R::restated(stated) {
            self.replace(number, &before, &after);
            before = after;
        }
    }

    fn exclude(&mut self, number: u64, id: ExclusionId, excludes: bool) {
        let held = self.index.people.whole(number);
        let exclusions = R::remaining(held.exclusions.clone(), id, excludes);
        let after = Whole {
            exclusions,
            ..held.clone()
        };
        self.index.count(&held, &after);
        self.replace(number, &held, &after);
    }

    /// First the person, then new keys, and old keys leave last.
    fn replace(&mut self, number: u64, before: &Whole, after: &Whole) {
        let held = before.stores();
        let changed = after
            .stores()
            .into_iter()
            .filter(|part| !before.meta.is_known() || !held.contains(part));
        self.stores.extend(changed.map(|part| Store::Person(number, part)));
        for kind in Kind::ALL {
            let (old, new) = (before.keys(kind), after.keys(kind));
            let coming = new.iter().filter(|key| !old.contains(key));
            self.stores.extend(coming.map(|key| Store::Insert(kind, *key, number)));
            let leaving = old.iter().filter(|key| !new.contains(key));
            self.stores
                .extend(leaving.map(|key| Store::Remove(kind, *key, number, new.clone())));
        }
    }
}

/// `stated`, those that are held first: a key that stays is then not moved, and is found at every moment.
fn in_their_order(held: &[Key], stated: Vec<Key>) -> Vec<Key> {
    let (mut stay, come): (Vec<_>, Vec<_>) = stated.into_iter().partition(|key| held.contains(key));
    stay.sort_by_key(|key| held.iter().position(|one| one == key));
    stay.extend(come);
    stay
}
