//! DynamoDB provider of the sessions crate.
