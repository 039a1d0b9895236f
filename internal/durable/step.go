package durable

// step is called after each step after which a crash matters. Tests set it.
var step = func(name string) {}
