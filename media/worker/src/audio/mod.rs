//! Audio as samples: in order and whole (`jitter`, `hearing`, `plc`), at another rate (`resample`), added up (`mix`), and
//! as what is sent again (`speaking`).

pub mod arrivals;
pub mod hearing;
pub mod jitter;
pub mod mix;
pub mod plc;
pub mod resample;
pub mod speaking;
pub mod wav;
