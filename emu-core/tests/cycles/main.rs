//! The estimate of a pipeline beside other people's figures: `docs/cycles.md` tells of both.

mod blocks;
