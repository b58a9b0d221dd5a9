// Sums and first moments over the labels of each frame, in one pass over the memory.
//
// A label is the set of pixels that the same detectors hold. Its chunks (16 bytes of
// a frame, behind a mask) are *items*: chunk; row | mask << 16. A chunk that holds
// pixels of several labels, or of several rows, is an item of each. Items are sorted
// by label and padded to 32, one for each lane of a warp; a few of such rounds are a
// *task*. So a warp adds for one label at a time, in registers, and the number of
// labels costs nothing but the chunks that they share.
//
// A block of 8 warps takes FRAMES frames: items and masks are read once for them.
// Tasks write their sums into `parts`, and these are added in the order of the tasks:
// nothing is atomic, and floats come out the same however frames are cut into batches.
//
//   frames  n frames, `pitch` bytes apart
//   tasks   (n_tasks + 1): where in the rounds each begins
//   labels  (n_labels + 1): where in the tasks each begins
//   parts   (n, n_tasks, 3) of room
//   out     (n, n_labels, 1): counts; with moments, integers: (n, n_labels, 5): counts,
//           upper halves of counts times row and column, their lower halves, 32 bits;
//           with moments, floats: (n, n_labels, 3): counts, times row, times column

#define WARPS 8

template <typename Sum> __device__ __forceinline__ Sum over_lanes(Sum value) {
#pragma unroll
    for (int step = 16; step > 0; step >>= 1)
        value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}

__device__ __forceinline__ void put_moments(
    u8* out, const u8* parts, int first, int stop) {
    u8 count = 0, row_high = 0, column_high = 0, row_low = 0, column_low = 0;
    for (int task = first; task < stop; task++) {
        const u8* part = parts + (size_t)task * 3;
        count += part[0];
        row_high += part[1] >> 32;
        row_low += part[1] & 0xffffffffu;
        column_high += part[2] >> 32;
        column_low += part[2] & 0xffffffffu;
    }
    out[0] = count;
    out[1] = row_high;
    out[2] = column_high;
    out[3] = row_low;
    out[4] = column_low;
}

__device__ __forceinline__ void put_moments(
    f8* out, const f8* parts, int first, int stop) {
    f8 count = 0, row = 0, column = 0;
    for (int task = first; task < stop; task++) {
        const f8* part = parts + (size_t)task * 3;
        count += part[0];
        row += part[1];
        column += part[2];
    }
    out[0] = count;
    out[1] = row;
    out[2] = column;
}

__device__ __forceinline__ int columns_of(u8) { return 5; }
__device__ __forceinline__ int columns_of(f8) { return 3; }

template <typename Pixel, int FRAMES, bool MOMENTS>
__device__ __forceinline__ void sum_labels(
    const u1* __restrict__ frames, u8 pitch, int n, int width,
    const uint2* __restrict__ items, const uint4* __restrict__ masks,
    const int* __restrict__ tasks, int n_tasks,
    const int* __restrict__ labels, int n_labels,
    typename Chunk<Pixel>::Sum* parts, typename Chunk<Pixel>::Sum* out) {
    typedef typename Chunk<Pixel>::Sum Sum;
    const int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
    const int frame = blockIdx.x * FRAMES;
    const int held = min(FRAMES, n - frame);
    const u1* at[FRAMES];
#pragma unroll
    for (int f = 0; f < FRAMES; f++)  // the last frame stands in for those beyond it
        at[f] = frames + (u8)(frame + min(f, held - 1)) * pitch;

    for (int task = warp; task < n_tasks; task += WARPS) {
        Sum count[FRAMES] = {}, row[FRAMES] = {}, column[FRAMES] = {};
        const int stop = tasks[task + 1];
        for (int round = tasks[task]; round < stop; round++) {
            const uint2 item = __ldg(items + (size_t)round * 32 + lane);
            const uint4 mask = __ldg(masks + (item.y >> 16));
            const int y = item.y & 0xffffu;
            // Below zero where the chunk begins in a row above.
            const int x = (int)item.x * Chunk<Pixel>::PIXELS - y * width;
            uint4 chunk[FRAMES];
#pragma unroll
            for (int f = 0; f < FRAMES; f++)
                chunk[f] = __ldcs((const uint4*)(at[f] + (size_t)item.x * 16));
#pragma unroll
            for (int f = 0; f < FRAMES; f++) {
                Sum counts, along;
                Chunk<Pixel>::weigh(behind(chunk[f], mask), counts, along);
                count[f] += counts;
                if (MOMENTS) {
                    row[f] += counts * (Sum)y;
                    column[f] += along + counts * (Sum)x;
                }
            }
        }
#pragma unroll
        for (int f = 0; f < FRAMES; f++) {
            const Sum counts = over_lanes(count[f]);
            const Sum rows = MOMENTS ? over_lanes(row[f]) : counts;
            const Sum columns = MOMENTS ? over_lanes(column[f]) : counts;
            if (lane == 0 && f < held) {
                Sum* part = parts + ((size_t)(frame + f) * n_tasks + task) * 3;
                part[0] = counts;
                part[1] = rows;
                part[2] = columns;
            }
        }
    }
    __syncthreads();
    for (int k = threadIdx.x; k < held * n_labels; k += 32 * WARPS) {
        const int f = frame + k / n_labels, label = k % n_labels;
        const Sum* part = parts + (size_t)f * n_tasks * 3;
        const int columns = MOMENTS ? columns_of(Sum()) : 1;
        Sum* found = out + ((size_t)f * n_labels + label) * columns;
        if (MOMENTS) {
            put_moments(found, part, labels[label], labels[label + 1]);
        } else {
            Sum counts = 0;
            for (int task = labels[label]; task < labels[label + 1]; task++)
                counts += part[(size_t)task * 3];
            found[0] = counts;
        }
    }
}

#define KERNEL(NAME, PIXEL, FRAMES, MOMENTS)                                          \
    extern "C" __global__ void __launch_bounds__(32 * WARPS, 3)                       \
    NAME##_##PIXEL##_##FRAMES(                                                        \
        const u1* frames, u8 pitch, int n, int width, const uint2* items,             \
        const uint4* masks, const int* tasks, int n_tasks, const int* labels,         \
        int n_labels, Chunk<PIXEL>::Sum* parts, Chunk<PIXEL>::Sum* out) {             \
        sum_labels<PIXEL, FRAMES, MOMENTS>(frames, pitch, n, width, items, masks,     \
            tasks, n_tasks, labels, n_labels, parts, out);                            \
    }

#define KERNELS(PIXEL)                                                                \
    KERNEL(counts, PIXEL, 1, false)                                                   \
    KERNEL(counts, PIXEL, 4, false)                                                   \
    KERNEL(moments, PIXEL, 1, true)                                                   \
    KERNEL(moments, PIXEL, 4, true)

KERNELS(u1)
KERNELS(u2)
KERNELS(u4)
KERNELS(f4)
