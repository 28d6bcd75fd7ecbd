//! `tunnelguard crd`: the CustomResourceDefinition of a policy.

mod structural;

use std::io::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, CustomResourceDefinitionNames,
    CustomResourceDefinitionSpec, CustomResourceDefinitionVersion, CustomResourceSubresourceStatus,
    CustomResourceSubresources, CustomResourceValidation, JSONSchemaProps,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use crate::policy::spec::{GROUP, KIND, PLURAL, PolicySpec, PolicyStatus, READY, VERSION};

use super::{Exit, Format};

/// Prints it.
pub(super) fn run(format: Format, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let definition = definition()?;
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&definition)?)?,
        Format::Human => {
            writeln!(
                out,
                "# Written by `tunnelguard crd`, from src/policy/spec/. Kubernetes 1.31 or newer."
            )?;
            write!(out, "{}", serde_saphyr::to_string(&definition)?)?;
        }
    }
    Ok(Exit::Clean)
}

/// The definition, as this version has it.
pub(super) fn definition() -> anyhow::Result<CustomResourceDefinition> {
    let labels = ["name", "part-of"].map(|label| {
        let label = format!("app.kubernetes.io/{label}");
        (label, "tunnelguard".to_owned())
    });
    Ok(CustomResourceDefinition {
        metadata: ObjectMeta {
            name: Some(format!("{PLURAL}.{GROUP}")),
            labels: Some(labels.into()),
            ..ObjectMeta::default()
        },
        spec: CustomResourceDefinitionSpec {
            group: GROUP.to_owned(),
            names: CustomResourceDefinitionNames {
                kind: KIND.to_owned(),
                list_kind: Some(format!("{KIND}List")),
                plural: PLURAL.to_owned(),
                singular: Some(KIND.to_ascii_lowercase()),
                short_names: Some(vec!["cpp".to_owned()]),
                categories: Some(vec!["tunnelguard".to_owned()]),
            },
            scope: "Cluster".to_owned(),
            versions: vec![CustomResourceDefinitionVersion {
                name: VERSION.to_owned(),
                served: true,
                storage: true,
                schema: Some(CustomResourceValidation {
                    open_api_v3_schema: Some(schema()?),
                }),
                // What a client writes there counts for nothing, and the spec's generation not up.
                subresources: Some(CustomResourceSubresources {
                    status: Some(CustomResourceSubresourceStatus(json!({}))),
                    ..CustomResourceSubresources::default()
                }),
                additional_printer_columns: Some(columns()),
                ..CustomResourceDefinitionVersion::default()
            }],
            ..CustomResourceDefinitionSpec::default()
        },
        ..CustomResourceDefinition::default()
    })
}

/// Only `spec` and `status` are ours: the API server knows the rest.
fn schema() -> anyhow::Result<JSONSchemaProps> {
    let schema = json!({
        "type": "object",
        "description": "What tunnelguard is told: the CONNECT proxies of a cluster, and what is done about ServiceEntries that break them. Several add up; of what they say about one proxy, the strictest holds.",
        "required": ["spec"],
        "properties": {
            "spec": structural::schema_of::<PolicySpec>(),
            "status": structural::schema_of::<PolicyStatus>(),
        },
    });
    Ok(serde_json::from_value(schema)?)
}

/// A column shows one value: the proxies themselves cannot be in one.
fn columns() -> Vec<CustomResourceColumnDefinition> {
    let ready = |field| format!(".status.conditions[?(@.type==\"{READY}\")].{field}");
    let columns = [
        ("Mode", ".spec.mode".to_owned(), "string", 0),
        (
            "Proxies",
            ".status.proxies.declared".to_owned(),
            "integer",
            0,
        ),
        ("Findings", ".status.findings".to_owned(), "integer", 0),
        ("Ready", ready("status"), "string", 0),
        ("Reason", ready("reason"), "string", 1),
        ("On Unsafe", ".spec.onUnsafe".to_owned(), "string", 1),
        ("Existing", ".spec.existing".to_owned(), "string", 1),
        (
            "Observed",
            ".status.proxies.observed".to_owned(),
            "integer",
            1,
        ),
        ("Message", ready("message"), "string", 1),
        ("Age", ".metadata.creationTimestamp".to_owned(), "date", 0),
    ];
    let columns = columns.map(
        |(name, path, kind, priority)| CustomResourceColumnDefinition {
            name: name.to_owned(),
            json_path: path,
            type_: kind.to_owned(),
            priority: Some(priority),
            ..CustomResourceColumnDefinition::default()
        },
    );
    columns.into()
}
