package rpc

// LoadCertificateAt is LoadCertificate with a clock of the caller's.
var LoadCertificateAt = loadCertificate
