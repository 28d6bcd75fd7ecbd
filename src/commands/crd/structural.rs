//! From a JSON schema to a structural one, which is what Kubernetes takes
//! (<https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>).

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// The structural schema of a type.
pub(super) fn schema_of<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let mut schema = schema.to_value();
    make_structural(&mut schema);
    schema
}

fn make_structural(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    for word in ["$schema", "title"] {
        schema.remove(word);
    }
    // That of a number is Rust's name for its width.
    if schema.get("type") != Some(&Value::from("string")) {
        schema.remove("format");
    }
    // The API server drops or refuses unknown fields by itself, and takes no `false` here.
    if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
        schema.remove("additionalProperties");
    }
    // What is absent stays absent.
    if schema.get("default").is_some_and(is_nothing) {
        schema.remove("default");
    }
    // An Option is a field that need not be there.
    if let Some(Value::Array(types)) = schema.get("type") {
        let kind = types.iter().find(|kind| *kind != "null").cloned();
        schema.insert("type".to_owned(), kind.unwrap_or_default());
    }
    name_choices(schema);
    for word in ["items", "additionalProperties"] {
        schema.get_mut(word).into_iter().for_each(make_structural);
    }
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    let properties = properties.into_iter().flat_map(Map::values_mut);
    properties.for_each(make_structural);
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// An enum with a description for each value, which is a list of constants in JSON schema, becomes a list of
/// values with one description.
fn name_choices(schema: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = schema.remove("oneOf") else {
        return;
    };
    let mut told = schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    for choice in &choices {
        if let (Some(value), Some(what)) =
            (choice["const"].as_str(), choice["description"].as_str())
        {
            told += &format!("\n- {value}: {what}");
        }
    }
    let values = choices.iter().map(|choice| choice["const"].clone());
    schema.insert("enum".to_owned(), values.collect());
    schema.insert("type".to_owned(), "string".into());
    schema.insert("description".to_owned(), told.into());
}
