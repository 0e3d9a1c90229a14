//! The messages of a SavedModel around its graph.
//!
//! Field numbers are those of TensorFlow's `saved_model.proto`, `meta_graph.proto` and `saver.proto`.
//! tract has these messages too, but does not decode what TensorFlow 2 writes, because it also wants the parts that nobody here needs.

use std::collections::BTreeMap;

use tract_tensorflow::tfpb::tensorflow::{GraphDef, OpList, TensorShapeProto};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SavedModel {
    #[prost(message, repeated, tag = "2")]
    pub(super) meta_graphs: Vec<MetaGraph>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MetaGraph {
    #[prost(message, optional, tag = "1")]
    pub(super) meta_info: Option<MetaInfo>,
    #[prost(message, optional, tag = "2")]
    pub(super) graph: Option<GraphDef>,
    #[prost(message, optional, tag = "3")]
    pub(super) saver: Option<Saver>,
    #[prost(btree_map = "string, message", tag = "5")]
    pub(super) signatures: BTreeMap<String, Signature>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MetaInfo {
    /// The operators of the graph, with the attributes that it leaves out where they have their usual value.
    #[prost(message, optional, tag = "2")]
    pub(super) operators: Option<OpList>,
    #[prost(string, repeated, tag = "4")]
    pub(super) tags: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Saver {
    #[prost(string, tag = "3")]
    pub(super) restore_op: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Signature {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(super) inputs: BTreeMap<String, TensorInfo>,
    #[prost(btree_map = "string, message", tag = "2")]
    pub(super) outputs: BTreeMap<String, TensorInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TensorInfo {
    /// Empty for sparse and composite tensors, which are described in other fields.
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(int32, tag = "2")]
    pub(super) dtype: i32,
    #[prost(message, optional, tag = "3")]
    pub(super) shape: Option<TensorShapeProto>,
}
