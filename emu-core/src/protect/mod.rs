//! Protection: selectors, descriptor tables, and the rules by which segments are loaded and control is transferred
//! (SDM Vol. 3A chapter 5).

pub mod rules;
pub mod selector;
pub mod shadow_stack;
pub mod stack;
pub mod tables;
pub mod task;
pub mod tracking;
