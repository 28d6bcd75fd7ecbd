//! Files with certificates of every kind, as they are and as they change; what an authority signs.

mod checking;
mod material;
mod planning;
mod racing;
mod reading;
mod signing;
