//! The OpenRPC document: what every method takes and gives, made from the types that parse it.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::RpcError;
use super::methods::METHODS;

/// Where shapes that several methods share stand.
const SHARED: &str = "/components/schemas";

/// The document, methods in the order of their names.
pub(crate) fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SHARED.into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let mut methods: Vec<Value> = Vec::new();
    for entry in METHODS {
        let params = (entry.params)(&mut schemas);
        let about = params.get("description").cloned().unwrap_or_default();
        methods.push(json!({
            "name": entry.name,
            "description": about,
            "paramStructure": "by-name",
            "params": by_name(&params),
            "result": { "name": "result", "schema": (entry.result)(&mut schemas) },
            "x-scope": entry.scope.name(),
        }));
    }
    methods.sort_by_key(|method| method.get("name").map(Value::to_string));
    let error = schemas.subschema_for::<RpcError>();
    json!({
        "openrpc": "1.3.2",
        "info": { "title": "Conclave", "version": env!("CARGO_PKG_VERSION") },
        "methods": methods,
        "x-error": error,
        "components": { "schemas": schemas.take_definitions(true) },
    })
}

/// The properties of a parameter object, as OpenRPC lists them.
fn by_name(params: &Schema) -> Vec<Value> {
    let empty = Map::new();
    let properties = params.get("properties").and_then(Value::as_object);
    let required = params.get("required").and_then(Value::as_array);
    let is_required =
        |name: &str| required.is_some_and(|names| names.iter().any(|one| one == name));
    let properties = properties.unwrap_or(&empty).iter();
    properties
        .map(|(name, schema)| json!({ "name": name, "required": is_required(name), "schema": schema }))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What was published; only ever replaced by a longer one, with a release.
    const PUBLISHED: &str = include_str!("published.txt");

    /// The document as a set of lines, a path and a value each; what is only told to people is left out.
    fn shape() -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        let mut document = document();
        document["info"] = Value::Null;
        flatten("", &document, &mut lines);
        lines
    }

    fn flatten(path: &str, value: &Value, lines: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    if name != "description" {
                        flatten(&format!("{path}/{name}"), value, lines);
                    }
                }
            }
            // The order says nothing; what has a name is known by it.
            Value::Array(items) => {
                for item in items {
                    let name = item.get("name").and_then(Value::as_str).unwrap_or("*");
                    flatten(&format!("{path}/{name}"), item, lines);
                }
            }
            plain => {
                lines.insert(format!("{path} = {plain}"));
            }
        }
    }

    /// The whole local API; who changes it sees what programs will see.
    #[test]
    fn the_shape_is_as_written_down() {
        let lines: Vec<String> = shape().into_iter().collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    /// Programs written for what was published go on: nothing is gone or another, and nothing new is demanded.
    #[test]
    fn changes_only_add() {
        let (now, published): (_, BTreeSet<&str>) = (shape(), PUBLISHED.lines().collect());
        let gone: Vec<_> = published
            .iter()
            .filter(|line| !now.contains(**line))
            .collect();
        assert!(gone.is_empty(), "gone or changed: {gone:#?}");
        let methods: BTreeSet<_> = published
            .iter()
            .filter_map(|line| method_of(line))
            .collect();
        let demanded: Vec<_> = now
            .iter()
            .filter(|line| line.ends_with("/required = true"))
            .filter(|line| method_of(line).is_some_and(|method| methods.contains(method)))
            .filter(|line| !published.contains(line.as_str()))
            .collect();
        assert!(demanded.is_empty(), "newly demanded: {demanded:#?}");
    }

    fn method_of(line: &str) -> Option<&str> {
        line.strip_prefix("/methods/")?.split('/').next()
    }

    /// Each method says what it does, once, and its name has the form that others have.
    #[test]
    fn every_method_is_described() {
        let mut names = BTreeSet::new();
        for method in document()["methods"].as_array().unwrap() {
            let name = method["name"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} is there twice");
            let is_plain = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
            assert!(name.chars().all(is_plain), "{name}");
            let about = method["description"].as_str().unwrap_or_default();
            assert!(about.ends_with('.'), "{name} says what it does: {about}");
            for param in method["params"].as_array().unwrap() {
                let schema = &param["schema"];
                assert!(schema["description"].is_string(), "{name}: {param}");
            }
        }
    }
}
