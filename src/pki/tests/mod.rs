//! Files with certificates of every kind, as they are and as they change; what an authority signs, and when it is
//! replaced.

mod checking;
mod expecting;
mod kept;
mod leaf;
mod material;
mod planning;
mod racing;
mod reading;
mod signing;
