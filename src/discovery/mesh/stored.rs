//! An object as the API server keeps it.

use std::borrow::Cow;
use std::fmt;

use kube::Resource;
use kube::api::{ApiResource, DynamicObject};
use kube::core::ObjectMeta;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// An object of any form, but for `metadata.managedFields`: nobody reads these, and they are most of many objects.
///
/// A [`DynamicObject`] keeps them, and has two flattened fields, for which serde reads every object into a
/// buffer first: a view of 100,000 ServiceEntries takes it a third longer.
#[derive(Clone, Debug)]
pub struct Stored {
    /// What a watch asks for: namespace, name and resource version.
    metadata: ObjectMeta,
    pub(super) object: Value,
}

impl<'de> Deserialize<'de> for Stored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::Object(Fields::OfObject.deserialize(deserializer)?);
        let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
        let metadata = ObjectMeta {
            namespace: text("namespace"),
            name: text("name"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, object })
    }
}

/// Which fields are read.
#[derive(Clone, Copy)]
enum Fields {
    OfObject,
    OfMetadata,
}

impl<'de> DeserializeSeed<'de> for Fields {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields {
    type Value = Map<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = match (self, key.as_str()) {
                (Self::OfObject, "metadata") => {
                    Value::Object(map.next_value_seed(Self::OfMetadata)?)
                }
                (Self::OfMetadata, "managedFields") => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                _ => map.next_value()?,
            };
            fields.insert(key, value);
        }
        Ok(fields)
    }
}

/// That of a [`DynamicObject`]: what is asked for is said by the [`ApiResource`].
impl Resource for Stored {
    type DynamicType = ApiResource;
    type Scope = <DynamicObject as Resource>::Scope;

    fn kind(asked: &ApiResource) -> Cow<'_, str> {
        DynamicObject::kind(asked)
    }

    fn group(asked: &ApiResource) -> Cow<'_, str> {
        DynamicObject::group(asked)
    }

    fn version(asked: &ApiResource) -> Cow<'_, str> {
        DynamicObject::version(asked)
    }

    fn plural(asked: &ApiResource) -> Cow<'_, str> {
        DynamicObject::plural(asked)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
