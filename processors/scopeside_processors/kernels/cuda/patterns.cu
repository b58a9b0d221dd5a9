// Running sum and maximum of each pixel over the frames of a batch.
//
// A thread takes one chunk, 16 bytes, of `share` frames one after another, and adds
// what it found to the running pattern. Integers are added atomically, so that the
// frames can be shared out over blockIdx.y: exact in any order. Floats are added one
// frame after another by one thread, with the rounding errors kept apart (D. E.
// Knuth's TwoSum), as the processor's own kernel does: gridDim.y is 1.
//
//   frames  n frames of `pixels` pixels, `pitch` bytes apart
//   total   (pixels) u64, modulo 2**64; of floats double, the rounded sum
//   rest    (pixels) double, what rounding has left out of it; only of floats
//   peak    (pixels) u32; of floats float, NaN once a pixel was NaN

__device__ __forceinline__ u4 larger(u4 one, u4 other, u1) {
    return __vmaxu4(one, other);
}
__device__ __forceinline__ u4 larger(u4 one, u4 other, u2) {
    return __vmaxu2(one, other);
}
__device__ __forceinline__ u4 larger(u4 one, u4 other, u4) { return max(one, other); }

// The k-th pixel of a word.
__device__ __forceinline__ u4 pixel(u4 word, int k, u1) {
    return (word >> (8 * k)) & 0xffu;
}
__device__ __forceinline__ u4 pixel(u4 word, int k, u2) {
    return (word >> (16 * k)) & 0xffffu;
}
__device__ __forceinline__ u4 pixel(u4 word, int, u4) { return word; }

// Sums of one chunk over frames: 32 bits hold 65536 pixels of 65535 counts.
template <typename Pixel> struct Sums { typedef u4 Type; };
template <> struct Sums<u4> { typedef u8 Type; };

template <typename Pixel>
__device__ __forceinline__ void add_integers(
    const u1* __restrict__ frames, u8 pitch, int n, int share, int pixels, u8* total,
    u4* peak) {
    enum { PIXELS = Chunk<Pixel>::PIXELS, IN_WORD = PIXELS / 4 };
    const int chunk = blockIdx.x * blockDim.x + threadIdx.x;
    const int first = blockIdx.y * share, stop = min(n, first + share);
    const int begin = chunk * PIXELS;
    if (begin >= pixels || first >= stop) return;
    typename Sums<Pixel>::Type sum[PIXELS] = {};
    u4 most[4] = {};
    const u1* at = frames + (u8)first * pitch + (size_t)chunk * 16;
#pragma unroll 4
    for (int frame = first; frame < stop; frame++, at += pitch) {
        const uint4 c = __ldcs((const uint4*)at);
        const u4 word[4] = {c.x, c.y, c.z, c.w};
#pragma unroll
        for (int w = 0; w < 4; w++) {
            most[w] = larger(most[w], word[w], Pixel());
#pragma unroll
            for (int k = 0; k < IN_WORD; k++)
                sum[w * IN_WORD + k] += pixel(word[w], k, Pixel());
        }
    }
#pragma unroll
    for (int w = 0; w < 4; w++)
#pragma unroll
        for (int k = 0; k < IN_WORD; k++) {
            const int p = begin + w * IN_WORD + k;
            if (p < pixels) {
                atomicAdd(total + p, (u8)sum[w * IN_WORD + k]);
                atomicMax(peak + p, pixel(most[w], k, Pixel()));
            }
        }
}

#define KERNEL(PIXEL)                                                                 \
    extern "C" __global__ void __launch_bounds__(128) pattern_##PIXEL(                \
        const u1* frames, u8 pitch, int n, int share, int pixels, u8* total,          \
        u4* peak) {                                                                   \
        add_integers<PIXEL>(frames, pitch, n, share, pixels, total, peak);            \
    }

KERNEL(u1)
KERNEL(u2)
KERNEL(u4)

extern "C" __global__ void __launch_bounds__(128) pattern_f4(
    const u1* frames, u8 pitch, int n, int pixels, f8* total, f8* rest, f4* peak) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p >= pixels) return;
    f8 sum = total[p], left = rest[p];
    f4 most = peak[p];
    const u1* at = frames + (size_t)p * 4;
#pragma unroll 4
    for (int frame = 0; frame < n; frame++, at += pitch) {
        const f4 found = __ldcs((const f4*)at);
        const f8 value = found;
        const f8 rounded = sum + value;
        const f8 taken = rounded - sum;
        left += (sum - (rounded - taken)) + (value - taken);
        sum = rounded;
        if (found > most || found != found) most = found;
    }
    total[p] = sum;
    rest[p] = left;
    peak[p] = most;
}

extern "C" __global__ void __launch_bounds__(128) no_peak(f4* peak, int pixels) {
    const int p = blockIdx.x * blockDim.x + threadIdx.x;
    if (p < pixels) peak[p] = __uint_as_float(0xff800000u);  // minus infinity
}
