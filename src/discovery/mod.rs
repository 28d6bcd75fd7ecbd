//! What the cluster is asked for, and how its answers are followed; and what the Pods among them say of
//! proxies.

pub mod env;
pub mod index;
pub mod mesh;
pub mod mesh_config;
pub mod names;
pub mod observed;
pub mod pods;
pub mod watch;
pub mod workload;
