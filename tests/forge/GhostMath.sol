// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The mechanism's arithmetic, slow and simple
/// @notice Written from the design, not from the contract: by tables, lists and loops instead of packed words and climbs.
library GhostMath {
    /// Fixed-point one of the powers of (1 - release).
    uint256 internal constant UNIT = 1e36;

    /// floor(2^(j/64) · 2^190) for j = 0..63, 24 bytes each; in Python, the largest n with n**64 <= 2**(j + 190*64).
    bytes internal constant EDGES =
        hex"40000000000000000000000000000000000000000000000040b268f9de0183b9bdf2b293de8a6f7a4f5c28b2af172e26"
        hex"4166c34c5615d0eb9f1523ada32905ff94f8d257df7d2ebe421d1461d66f20230d7c976509fe8ac106cb5a0a76264e83"
        hex"42d561b3e6243d8a62e4adc610aa60d90a45022cf3ac28a8438fb0cb4f4688081d0b93e2bda954ab12cd62c44a7a7e59"
        hex"444c0740496d4293aefc6bb64c633ab17311eac59bb95d09450a6abaa4b77ecd040650ec961b406112ce26fa9ebb7488"
        hex"45cae0f1f545eb737df23143ac529e480d5427fdf5d61a4f468d6fadbf2dd4f2da63da4b4720d69b0c1c93573eb8c6e1"
        hex"47521cc5a2e6a9e016e00a2643c1ea62d0881b91859b3c144818ee218a3358ee3bac0a5424a743f121f4870ae1001099"
        hex"48e1e9b9d588e19b07eb6c70572d64ec0ca159a40b7da79349ad159789f37495e99cca074ec9277393a461b7757fd139"
        hex"4a7a77d47f7b84b097457d6892a8ef2a242b023480ffb6024b4a169b900c2d0024754db41d4e1162707346cf900629ac"
        hex"4c1bf828c6dc54b7a356918c17217b7b2f09cd0d8a7d40bc4cf022c9905bfd32721843659a5afe574564c0e54e765359"
        hex"4dc69cdceaa72a9c51540bd151e61f8f84945afe71a66f904e9f6cd3967fdba86f24a6782874cd858ff8be14b3bac4d0"
        hex"4f7a993048d088d6d0488f84f5dcfee8b2e0ae091099f15150582887dcb8a7e10c96e3cf6d87ecd4bc15039ae8158d10"
        hex"513821818624b40c4dbd0277c067ef53ced21c26de164757521a8ad704f3404f068eda418bc0f0f75d73a1d5fde039bb"
        hex"52ff6b54d8a89c750e5ebfb10b88380d8ee8b856715e7e0b53e6c9da74b29ab4cf62da6a81cfb95780a125e8ca69cccf"
        hex"54d0ad5a753e077c2a0f12761a98fd399ca8f90a6016c12555bd1cdad49f699bb2c011d93acf003cbd6acf60075f31c9"
        hex"56ac1f752150a56324c054647acd176235f204a0381a7ef6579dbc56b48521ba6f93080e65d9a8195228160a7a14ef6c"
        hex"5891fac0e95612c7c3e81bf4b690aec73abe7dcc89d6e2bb5988e209548892449f678a6e3cc528cdfd37028eb7c5e1ff"
        hex"5a827999fcef32422cbec4d9baa55f4f8eb7b05d449dd4265b7ec8f19468bbc8838b2f86eeaa0d2cfc455df3bbef9b07"
        hex"5c7dd7a3b17dcf748dc3cbbc2b35b2d0d2d58b67a2882b765d7fad59099f22fdba6a8ce922c9c1c601798685ee5528b6"
        hex"5e8451cfac061b5f54408fdb3687d7bd0ad9a5de5814c7a05f8bccdb3d398841740ae855e5f85c28509fe3f37d7ce418"
        hex"6096266533384a2b3e22beacd28043dab5972eeb03d4cb4e61a3666d124bb203907642b0945c1d2135cfc4dbed5de595"
        hex"62b39508aa836d6e9f156864b26ecf9bb587c9cccc128d1b63c6ba6455dcd8ae609d171cbb6013bf26d2b85162ba5182"
        hex"64dcdec3371793d14070fc950288b4bf12bd606d8fa0c9bb65f60a7f79393e2e7a483e47a2f5fb6e75c512dbda060213"
        hex"6712460a8fc24071f11ac1c7caf96376b7943085c61b242d683199ed779592ca6b6a2e32acd26a8108aa369f5144bb6b"
        hex"69540ec8f895722d0912472be1ef201429014e05c0fbdf2b6a79ad55e7f6fd0fac90ef7fd313162d5c73d1972bc1ed2e"
        hex"6ba27e656b4eb57a1cd345dcc8169fef0eb99d7a9102c58b6cce8ae13c57ebdaff439ef651f095d5e076ed26c48df21e"
        hex"6dfddbcbed791baa9ec206ad4f14d532240f0d5b92d896ab6f307a412f074891ee83d16cf423342c80a1c24af566f92b"
        hex"70666f76154a7088832c4a8246e999e51125928d99849001719fc4b95f452d2884dff483cacc077679ac5469b47e7575"
        hex"72dc8373be41a4540f2f47a5276dd8765566b032db74fb56741cb5281e25ee343c8bc868563863eeff1897c27d332902"
        hex"75606373ee921c976816bad9b8372a7d627d567021dbfc8e76a7980f6cca15c2300696db5325fd891bc3b1853b257264"
        hex"77f25ccdee6d7ae5a32b0e7b4a46dc896a513bf56ed5492e7940bb9e2cffd89cf44c054e647a3d2596785a4ef85eb874"
        hex"7a92be8a924366163dce863d76cc07e1b7a8818433bb84fa7be86fb985689ddc7f486a4b6b07db75748a7fda391bc9f8"
        hex"7d41d96db915019d3e12dd8a18aebfe640037f10d4ae8a6e7e9f06067a4360ba429f9d2c98f07701830dbdd942d303c8";

    /// @return the lowest ratio baselineQn / qn, times 2^190, of the bucket `steps` (0..63) above parity. `table`: `EDGES`.
    function edge(bytes memory table, uint256 steps) internal pure returns (uint256) {
        uint256 word;
        assembly {
            word := mload(add(add(table, 32), mul(steps, 24)))
        }
        return word >> 64;
    }

    /// @return clamp(floor(64 · log2(baselineQn / qn)) + 64, 0, 127), by looking at the edges one after the other.
    function bucket(uint256 qn, uint256 baselineQn) internal pure returns (uint256) {
        if (baselineQn >= 2 * qn) return 127;
        if (2 * baselineQn < qn) return 0;
        bool worse = baselineQn < qn;
        uint256 ratio = (worse ? 2 * baselineQn : baselineQn) << 190;
        uint256 steps = 0;
        bytes memory table = EDGES;
        // An edge is floored: it is reached where the ratio is above it, or equal to the only exact one, 2^0.
        while (steps < 63 && ratio > edge(table, steps + 1) * qn) ++steps;
        return worse ? steps : steps + 64;
    }

    /// @return the lowest score of a baseline that puts `qn` into a bucket (1..127), rounded up.
    function baselineFor(uint256 qn, uint256 wanted) internal pure returns (uint256) {
        uint256 scaled = edge(EDGES, wanted % 64) * qn;
        uint256 lowest = (scaled >> 190) + (scaled % (1 << 190) == 0 ? 0 : 1);
        return wanted >= 64 ? lowest : (lowest + 1) / 2;
    }

    /// @return (1 - release)^(1/64) in units of 1e-36, by six square roots rounded down. `release` in basis points.
    function keepPerStep(uint256 release) internal pure returns (uint256) {
        uint256 keep = (10_000 - release) * (UNIT / 10_000);
        for (uint256 i = 0; i < 6; ++i) {
            keep = squareRoot(keep * UNIT);
        }
        return keep;
    }

    /// @return base^exponent in units of 1e-36 by squaring, every product rounded to nearest.
    function power(uint256 base, uint256 exponent) internal pure returns (uint256) {
        uint256 result = exponent % 2 == 1 ? base : UNIT;
        for (exponent /= 2; exponent != 0; exponent /= 2) {
            base = (base * base + UNIT / 2) / UNIT;
            if (exponent % 2 == 1) result = (result * base + UNIT / 2) / UNIT;
        }
        return result;
    }

    /// @return the largest integer whose square is at most `value`, bit by bit.
    function squareRoot(uint256 value) internal pure returns (uint256) {
        uint256 root = 0;
        for (uint256 bit = 1 << 127; bit != 0; bit >>= 1) {
            if ((root + bit) * (root + bit) <= value) root += bit;
        }
        return root;
    }

    function smaller(uint256 a, uint256 b) internal pure returns (uint256) {
        return a < b ? a : b;
    }

    function larger(uint256 a, uint256 b) internal pure returns (uint256) {
        return a > b ? a : b;
    }
}
