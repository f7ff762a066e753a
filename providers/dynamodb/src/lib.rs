//! Sessions in Amazon DynamoDB.
//!

mod error;
mod item;
mod list;
mod provider;
mod record;
mod table;

pub use crate::provider::DynamoDbProvider;
pub use aws_sdk_dynamodb;
