//! Objects of a kind, by namespace and name.

use std::collections::BTreeMap;

/// The objects of a namespace, each once, in order of arrival.
#[derive(Clone, Debug)]
struct OfNamespace<T> {
    objects: Vec<T>,
    places: BTreeMap<Box<str>, usize>,
}

/// Objects of a kind.
#[derive(Clone, Debug)]
pub(super) struct Named<T>(BTreeMap<Box<str>, OfNamespace<T>>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self::NONE
    }
}

impl<T> Named<T> {
    pub(super) const NONE: Self = Self(BTreeMap::new());

    pub(super) fn of(&self, namespace: &str) -> &[T] {
        self.0.get(namespace).map_or(&[], |own| &own.objects)
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<&T> {
        self.with_place(namespace, name).map(|(_, object)| object)
    }

    /// The objects of a namespace by name, in whatever order they came.
    pub(super) fn by_name(&self, namespace: &str) -> impl Iterator<Item = &T> {
        let own = self.0.get(namespace).into_iter();
        own.flat_map(|own| own.places.values().filter_map(|at| own.objects.get(*at)))
    }

    /// An object, and how many of its namespace came before it.
    pub(super) fn with_place(&self, namespace: &str, name: &str) -> Option<(usize, &T)> {
        let own = self.0.get(namespace)?;
        let place = *own.places.get(name)?;
        Some((place, own.objects.get(place)?))
    }

    /// Adds an object, or puts it in the place of the one of its name.
    pub(super) fn insert(&mut self, namespace: &str, name: &str, object: T) {
        let own = self
            .0
            .entry(namespace.into())
            .or_insert_with(|| OfNamespace {
                objects: Vec::new(),
                places: BTreeMap::new(),
            });
        match own.places.get(name).and_then(|at| own.objects.get_mut(*at)) {
            Some(known) => *known = object,
            None => {
                own.places.insert(name.into(), own.objects.len());
                own.objects.push(object);
            }
        }
    }

    pub(super) fn remove(&mut self, namespace: &str, name: &str) {
        let Some(own) = self.0.get_mut(namespace) else {
            return;
        };
        let Some(at) = own.places.remove(name) else {
            return;
        };
        own.objects.remove(at);
        for place in own.places.values_mut().filter(|place| **place > at) {
            *place -= 1;
        }
        if own.objects.is_empty() {
            self.0.remove(namespace);
        }
    }

    /// The names of all, with their namespaces.
    pub(super) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(namespace, own)| {
            let names = own.places.keys();
            names.map(move |name| (&**namespace, &**name))
        })
    }
}
