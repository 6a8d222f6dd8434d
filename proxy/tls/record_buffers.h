#pragma once
// Keeps the memory of TLS records for the next connection.
//
// A connection holds buffers for records only while one is under way (SSL_MODE_RELEASE_BUFFERS), so
// OpenSSL asks for one of kReadBuffer and one of 16 KiB with each message and frees them again.
// malloc() keeps no blocks of that size at hand: it cuts them off the heap and joins them to it
// again each time. Here each thread keeps a few, whatever their connections.
//
// What a block held stays in it until it is used again, as with malloc().

namespace handfast::tls {

// Takes over malloc and free of OpenSSL, in whole the process. Call it before anything of OpenSSL
// runs, start_openssl() included; later, or under a sanitizer, which must see each block, it does
// nothing.
void keep_record_buffers();

}  // namespace handfast::tls
