// What a kernel does with one chunk, 16 bytes of a frame, by the type of its pixels.
// A frame begins at a multiple of 16 bytes, so every chunk can be loaded at once,
// whatever the width of a row. What follows the last pixel is behind a mask.

typedef unsigned char u1;
typedef unsigned short u2;
typedef unsigned int u4;
typedef float f4;
typedef unsigned long long u8;
typedef double f8;

// Of each type: PIXELS in a chunk, SUM that cannot overflow where `count` is of one
// chunk, and `weigh`, which gives the chunk's counts and its counts times 0, 1, 2 ...
template <typename Pixel> struct Chunk;

template <> struct Chunk<u1> {
    enum { PIXELS = 16 };
    typedef u8 Sum;
    static __device__ __forceinline__ void weigh(uint4 c, Sum& count, Sum& along) {
        u4 ones = 0x01010101u, sum = 0, moment = 0;
        sum = __dp4a(c.x, ones, sum);
        sum = __dp4a(c.y, ones, sum);
        sum = __dp4a(c.z, ones, sum);
        sum = __dp4a(c.w, ones, sum);
        moment = __dp4a(c.x, 0x03020100u, moment);
        moment = __dp4a(c.y, 0x07060504u, moment);
        moment = __dp4a(c.z, 0x0b0a0908u, moment);
        moment = __dp4a(c.w, 0x0f0e0d0cu, moment);
        count = sum;
        along = moment;
    }
};

template <> struct Chunk<u2> {
    enum { PIXELS = 8 };
    typedef u8 Sum;
    static __device__ __forceinline__ void weigh(uint4 c, Sum& count, Sum& along) {
        u4 ones = 0x0101u, sum = 0, moment = 0;
        sum = __dp2a_lo(c.x, ones, sum);
        sum = __dp2a_lo(c.y, ones, sum);
        sum = __dp2a_lo(c.z, ones, sum);
        sum = __dp2a_lo(c.w, ones, sum);
        moment = __dp2a_lo(c.x, 0x0100u, moment);
        moment = __dp2a_lo(c.y, 0x0302u, moment);
        moment = __dp2a_lo(c.z, 0x0504u, moment);
        moment = __dp2a_lo(c.w, 0x0706u, moment);
        count = sum;
        along = moment;
    }
};

template <> struct Chunk<u4> {
    enum { PIXELS = 4 };
    typedef u8 Sum;
    static __device__ __forceinline__ void weigh(uint4 c, Sum& count, Sum& along) {
        count = (u8)c.x + c.y + c.z + c.w;
        along = (u8)c.y + 2 * (u8)c.z + 3 * (u8)c.w;
    }
};

template <> struct Chunk<f4> {
    enum { PIXELS = 4 };
    typedef f8 Sum;
    static __device__ __forceinline__ void weigh(uint4 c, Sum& count, Sum& along) {
        f8 first = __uint_as_float(c.x), second = __uint_as_float(c.y);
        f8 third = __uint_as_float(c.z), fourth = __uint_as_float(c.w);
        count = (first + second) + (third + fourth);
        along = second + 2 * third + 3 * fourth;
    }
};

__device__ __forceinline__ uint4 behind(uint4 chunk, uint4 mask) {
    chunk.x &= mask.x;
    chunk.y &= mask.y;
    chunk.z &= mask.z;
    chunk.w &= mask.w;
    return chunk;
}
